"""The Euclidean distance of two embeddings."""

import torch

from model_store.metric import Metric
from model_store.network.comparators.base import Comparator


class Euclidean(Comparator):
    """‖f1 − f2‖₂: 0 for the same embedding, at most 2 where embeddings have unit length."""

    metric = Metric.EUCLIDEAN_DISSIMILARITY
    symmetric = True

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """As `Comparator.forward`; values ≥ 0."""
        distances: torch.Tensor = torch.linalg.vector_norm(left.float() - right.float(), dim=-1)
        return distances
