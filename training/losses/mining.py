"""Which triplets of a batch a loss learns from."""

from collections.abc import Callable

import torch

Triplets = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Rows of the batch: anchors, positives, negatives, each int64 (T,)."""

Miner = Callable[[torch.Tensor, torch.Tensor, float], Triplets]
"""From distances (N, N), labels (N,) and the margin to triplets."""


def every(distances: torch.Tensor, labels: torch.Tensor, margin: float) -> Triplets:  # noqa: ARG001
    """All triplets there are."""
    positive, negative = relations(labels)
    anchors, positives, negatives = torch.nonzero(
        positive[:, :, None] & negative[:, None, :], as_tuple=True
    )
    return anchors, positives, negatives


def batch_hard(
    distances: torch.Tensor,
    labels: torch.Tensor,
    margin: float,  # noqa: ARG001
) -> Triplets:
    """For each anchor its farthest positive and nearest negative.

    Hermans, Beyer, Leibe 2017, arXiv 1703.07737, equation 5.
    """
    positive, negative = relations(labels)
    anchors = torch.nonzero(positive.any(1) & negative.any(1)).flatten()
    farthest = distances.masked_fill(~positive, -torch.inf)[anchors].argmax(1)
    nearest = distances.masked_fill(~negative, torch.inf)[anchors].argmin(1)
    return anchors, farthest, nearest


def semi_hard(distances: torch.Tensor, labels: torch.Tensor, margin: float) -> Triplets:
    """For each anchor and positive the nearest negative that is farther, but within the margin.

    Schroff, Kalenichenko, Philbin 2015, arXiv 1503.03832, equation 4. Where no negative is
    farther than the positive, the farthest there is is taken, as their released code does. Pairs
    whose next negative lies beyond the margin already teach nothing and are left out.
    """
    positive, negative = relations(labels)
    anchors, positives = torch.nonzero(positive & negative.any(1)[:, None], as_tuple=True)
    near = distances[anchors, positives][:, None]
    candidates = distances[anchors]
    wrong = ~negative[anchors]
    beyond = candidates.masked_fill(wrong | (candidates <= near), torch.inf)
    next_distance, following = beyond.min(1)
    farthest = candidates.masked_fill(wrong, -torch.inf).argmax(1)
    negatives = torch.where(next_distance.isinf(), farthest, following)
    violating = distances[anchors, negatives] < near[:, 0] + margin
    return anchors[violating], positives[violating], negatives[violating]


def relations(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Bool (N, N) twice: which images are positives, which are negatives, of which anchor."""
    alike = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return alike & ~itself, ~alike


MINERS: dict[str, Miner] = {"all": every, "batch-hard": batch_hard, "semi-hard": semi_hard}
