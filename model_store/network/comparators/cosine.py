"""The cosine of the angle between two embeddings."""

import torch
from torch.nn import functional

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
        if len(left) == 1:
            # One with many: a product of a matrix and a vector is several times faster.
            norms = torch.linalg.vector_norm(right, dim=-1).clamp(min=_LEAST_NORM)
            scores: torch.Tensor = right @ functional.normalize(left[0], dim=-1) / norms
            return scores.clamp(-1, 1)
        return functional.cosine_similarity(left, right, dim=-1).clamp(-1, 1)
