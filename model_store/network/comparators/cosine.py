"""The cosine of the angle between two embeddings."""

import numpy as np
import torch

from model_store.metric import Metric
from model_store.network.comparators.base import Comparator, Floats

_LEAST_NORM = 1e-8
"""What shorter vectors are taken to have, as PyTorch's `cosine_similarity` does."""


class Cosine(Comparator):
    """f1·f2 / (‖f1‖‖f2‖), in [−1, 1]."""

    metric = Metric.COSINE_SIMILARITY
    symmetric = True

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """As `Comparator.forward`; values in [−1, 1]."""
        left, right = left.float(), right.float()
        # Nothing here depends on which of the two comes first. And a product of matrices, which is
        # a little faster, rounds a row by where it stands and how many there are.
        dots = (left * right).sum(dim=-1)
        scores: torch.Tensor = dots / (_norms(left) * _norms(right))
        return scores.clamp(-1, 1)

    def one_with_many(self, one: Floats, many: Floats, *, one_is_left: bool = True) -> Floats:
        """As `Comparator.one_with_many`, in half the time: no products are written to memory."""
        del one_is_left
        # Of ten thousand candidates each is read from memory once, and then from the cache. Like
        # the sums in `forward`, these do not depend on where a row stands.
        lengths = np.sqrt(np.vecdot(many, many)).clip(_LEAST_NORM)
        length = np.sqrt(np.vecdot(one, one)).clip(_LEAST_NORM)
        scores: Floats = (np.vecdot(many, one) / (lengths * length)).clip(-1, 1)
        return scores


def _norms(rows: torch.Tensor) -> torch.Tensor:
    norms: torch.Tensor = torch.linalg.vector_norm(rows, dim=-1)
    return norms.clamp(min=_LEAST_NORM)
