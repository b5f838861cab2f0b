"""exp(−‖f1 − f2‖₁): a similarity in (0, 1] from the Manhattan distance."""

import torch

from model_store.metric import Metric
from model_store.network.comparators.base import Comparator


class ExponentialL1(Comparator):
    """exp(−Σ|f1 − f2|): 1 for the same embedding (Mueller, Thyagarajan 2016, there g)."""

    metric = Metric.EXPONENTIAL_SIMILARITY
    symmetric = True

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """As `Comparator.forward`; values in (0, 1]."""
        return torch.exp(-(left.float() - right.float()).abs().sum(dim=-1))
