"""Scores of embeddings by a network's comparator, in chunks that fit into memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from model_store.network import SiameseNetwork
from model_store.network.comparators import Comparator
from training.errors import DataError
from training.evaluation.metrics import Floats
from training.evaluation.pool import Pairs

# Values in one chunk of embeddings: 64 MiB as float32.
_CHUNK_VALUES = 1 << 24


def score_pairs(
    network: SiameseNetwork, left: torch.Tensor, right: torch.Tensor, pairs: Pairs
) -> Floats:
    """The scores of pairs of embeddings, chunk by chunk on the network's device.

    Where both sides share weights and the comparator still depends on the order of its two
    embeddings, the score is the mean over both orders.

    Args:
        network: Its comparator scores.
        left: float32 (L, dimension).
        right: float32 (R, dimension).
        pairs: Rows of the two.

    Returns:
        Float64 (P,), in the comparator's metric.
    """
    device = next(network.branches.parameters()).device
    chunk = max(64, _CHUNK_VALUES // left.shape[1])
    scores = np.empty(len(pairs.left), dtype=np.float64)
    with _scoring(network.comparator):
        for start in range(0, len(scores), chunk):
            part = slice(start, start + chunk)
            first = left[torch.from_numpy(pairs.left[part])].to(device)
            second = right[torch.from_numpy(pairs.right[part])].to(device)
            scores[part] = _compare(network, first, second)
    return _finite(scores)


def score_matrix(network: SiameseNetwork, queries: torch.Tensor, gallery: torch.Tensor) -> Floats:
    """The scores of every query against every gallery embedding, as `score_pairs` gives them.

    Returns:
        Float64 (queries, gallery), in the comparator's metric.
    """
    device = next(network.branches.parameters()).device
    queries, gallery = queries.to(device), gallery.to(device)
    scores = np.empty((len(queries), len(gallery)), dtype=np.float64)
    with _scoring(network.comparator):
        for row in range(len(queries)):
            scores[row] = _compare(network, queries[row : row + 1], gallery)
    return _finite(scores)


@contextmanager
def _scoring(comparator: Comparator) -> Iterator[None]:
    """Without dropout or gradients inside, and as it was after."""
    modes = [(module, module.training) for module in comparator.modules()]
    comparator.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def _compare(network: SiameseNetwork, first: torch.Tensor, second: torch.Tensor) -> Floats:
    scores: torch.Tensor = network.comparator(first, second)
    if network.shares_weights and not network.comparator.symmetric:
        scores = (scores + network.comparator(second, first)) / 2
    return scores.double().cpu().numpy()


def _finite(scores: Floats) -> Floats:
    wrong = int(np.sum(~np.isfinite(scores)))
    if wrong:
        raise DataError(
            f"the network's scores are not numbers for {wrong:,} of {scores.size:,} pairs; its "
            "weights are of no use: train it again with a lower learning rate"
        )
    return scores
