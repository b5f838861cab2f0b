"""The contrastive loss on people that the whitening has not seen, as in service."""

import torch
from torch.nn import functional
from typing_extensions import override

from model_store.network import SiameseNetwork
from training.data.batch import Batch
from training.errors import RecipeError
from training.losses.accuracy import share_in_order
from training.losses.base import Loss, Measured

_LEAST_VARIANCE = 1e-12
_LEAST_SQUARE = 1e-8


class WhitenedContrastive(Loss):
    """Contrast under a whitening that is fitted to some classes of the batch and judged by others.

    The first classes of a batch give S, the covariance of their embeddings around the mean of
    their class, shrunk towards a multiple of the identity. The embeddings of the other classes,
    times S^(-1/2) and at unit length, are compared by the contrastive loss (Hadsell, Chopra, LeCun
    2006, equation 4): the mean of D² over genuine pairs and that of max(0, m − D)² over impostor
    pairs, half each. So the network learns features that a whitening by known classes makes good
    for new ones; a loss on the classes that it is fitted to would be 0 from the start. It goes with
    `finish.projection: whitening`, which fits one to all training classes in the end. Its accuracy
    is as that of `contrastive`, of the classes compared.

    With the centred embeddings of the first classes as the rows of W, S = a·WᵀW + b·I, and inner
    products under its inverse are (x·y − xWᵀ(WWᵀ + b/a·I)⁻¹Wy)/b (Woodbury), so that no matrix is
    larger than the batch.

    Args:
        dimension: Values of an embedding.
        classes: Classes in the training data.
        margin: m, > 0; distances are at most 2.
        shrinkage: The share of the identity in S, in (0, 1).
        known: The share of the batch's classes that S is fitted to, in (0, 1).
    """

    def __init__(
        self,
        dimension: int,
        classes: int,
        *,
        margin: float = 1.3,
        shrinkage: float = 0.5,
        known: float = 0.67,
    ) -> None:
        super().__init__(dimension, classes)
        if margin <= 0 or not 0 < shrinkage < 1 or not 0 < known < 1:
            raise ValueError("margin must be above 0, shrinkage and known between 0 and 1")
        self.margin = margin
        self.shrinkage = shrinkage
        self.known = known

    @override
    def measured(self, network: SiameseNetwork, embeddings: torch.Tensor, batch: Batch) -> Measured:
        """As `Loss.measured`."""
        fitted, labels = self._parts(batch.labels)
        rows = embeddings.float()
        products = whitened_products(
            rows[fitted], labels[fitted], rows[~fitted], shrinkage=self.shrinkage
        )
        lengths = products.diagonal().clamp(min=_LEAST_SQUARE).sqrt()
        cosines = products / (lengths[:, None] * lengths)
        of = labels[~fitted]
        first, second = torch.triu_indices(len(of), len(of), 1, device=of.device)
        squares = (2 - 2 * cosines[first, second]).clamp(min=_LEAST_SQUARE)
        same = of[first] == of[second]
        short = (self.margin - squares[~same].sqrt()).clamp(min=0).square()
        return Measured(
            (squares[same].mean() + short.mean()) / 2,
            share_in_order(squares[None], same[None], ~same[None]),
        )

    def _parts(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Which images S is fitted to, bool (N,); and classes in the order they come, int64 (N,).

        Samplers deal classes into a batch in an order of chance, so the first ones are any.
        """
        numbers: dict[int, int] = {}
        order = [numbers.setdefault(label, len(numbers)) for label in labels.tolist()]
        found = torch.tensor(order, device=labels.device)
        fitted = found < round(self.known * len(numbers))
        counts = found.bincount()
        fitting, judging = counts[found[fitted]], counts[found[~fitted]]
        enough = len(numbers) - round(self.known * len(numbers)) >= 2
        if not enough or not bool((fitting >= 2).any()) or not bool((judging >= 2).any()):
            raise RecipeError(
                "loss 'whitened-contrastive' wants several images of each of several classes in "
                "a batch, some classes to fit a whitening to and at least two to judge it by; set "
                "sampling.name=classes-by-images, and a larger batch or loss.options.known nearer "
                "to 0.5"
            )
        return fitted, found


def whitened_products(
    known: torch.Tensor, labels: torch.Tensor, rows: torch.Tensor, *, shrinkage: float
) -> torch.Tensor:
    """Inner products of rows under a whitening within known classes.

    Args:
        known: float32 (K, D), what it is fitted to.
        labels: int64 (K,), their classes: 0, 1, … without gaps.
        rows: float32 (N, D), compared around the mean of `known`.
        shrinkage: The share of the identity.

    Returns:
        float32 (N, N).
    """
    members = functional.one_hot(labels).to(known)
    means = (members.T @ known) / members.sum(0)[:, None]
    within = known - means[labels]
    free = max(1, len(known) - len(means))
    level = shrinkage * within.square().sum() / (free * known.shape[1]) + _LEAST_VARIANCE
    away = rows - known.mean(0)
    gram = within @ within.T
    gram = gram + torch.eye(len(gram), device=gram.device) * (level * free / (1 - shrinkage))
    across = within @ away.T
    found = torch.linalg.solve(gram, across)
    products: torch.Tensor = (away @ away.T - across.T @ found) / level
    return products
