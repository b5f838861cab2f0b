"""The cosine of the angle between two embeddings."""

import torch

from model_store.metric import Metric
from model_store.network.comparators.base import Comparator

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


def _norms(rows: torch.Tensor) -> torch.Tensor:
    norms: torch.Tensor = torch.linalg.vector_norm(rows, dim=-1)
    return norms.clamp(min=_LEAST_NORM)
