"""f1 − f2 → two linear layers → sigmoid: the comparator of the ResNet system."""

import torch
from torch import nn

from model_store.network.comparators.base import SigmoidComparator


class SignedDifferenceSigmoid(SigmoidComparator):
    """Learns a curve over the signed difference; the order of the two images matters to it.

    Args:
        dimension: Values of an embedding.
        hidden: Values between the two linear layers.
        dropout: Share of those that is zeroed in training.
    """

    symmetric = False

    def __init__(self, dimension: int, *, hidden: int = 1023, dropout: float = 0.5) -> None:
        super().__init__(dimension)
        self.layers = nn.Sequential(
            nn.Linear(dimension, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1)
        )

    def logit(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """(N, dimension) twice → (N,), unbounded; positive leans towards `same`."""
        logit: torch.Tensor = self.layers(left - right).squeeze(-1)
        return logit
