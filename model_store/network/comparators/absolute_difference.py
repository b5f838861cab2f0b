"""|f1 − f2| → two linear layers → sigmoid: the comparator of the VGG16 system."""

from typing import Literal

import torch
from torch import nn

from model_store.network.comparators.base import SigmoidComparator


class AbsoluteDifferenceSigmoid(SigmoidComparator):
    """Learns how much each value's absolute difference speaks against likeness.

    Args:
        dimension: Values of an embedding.
        hidden: Values between the two linear layers.
        activation: What stands between them. `none` is the published form: the two layers are
            then one linear map in effect, and two identical images always give the same constant
            score. `relu` lets the network weigh differences together.
    """

    symmetric = True

    def __init__(
        self, dimension: int, *, hidden: int = 512, activation: Literal["none", "relu"] = "none"
    ) -> None:
        super().__init__(dimension)
        between: list[nn.Module] = [nn.ReLU()] if activation == "relu" else []
        self.layers = nn.Sequential(nn.Linear(dimension, hidden), *between, nn.Linear(hidden, 1))

    def logit(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """(N, dimension) twice → (N,), unbounded; positive leans towards `same`."""
        logit: torch.Tensor = self.layers((left - right).abs()).squeeze(-1)
        return logit
