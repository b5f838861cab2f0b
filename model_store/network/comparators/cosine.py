"""The cosine of the angle between two embeddings."""

import torch
from torch.nn import functional

from model_store.metric import Metric
from model_store.network.comparators.base import Comparator


class Cosine(Comparator):
    """f1·f2 / (‖f1‖‖f2‖), in [−1, 1]."""

    metric = Metric.COSINE_SIMILARITY
    symmetric = True

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """As `Comparator.forward`; values in [−1, 1]."""
        return functional.cosine_similarity(left.float(), right.float(), dim=-1).clamp(-1, 1)
