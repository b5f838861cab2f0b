"""What every comparator offers."""

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from model_store.metric import Metric

Floats = npt.NDArray[np.float32]


class Comparator(nn.Module):
    """Two embeddings in, one score out. Built as `Comparator(dimension, **options)`.

    Attributes:
        metric: What the score means, and in which direction.
        symmetric: Whether compare(a, b) always equals compare(b, a), to the last bit.
    """

    metric: ClassVar[Metric]
    symmetric: ClassVar[bool]

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Scores pairs of embeddings, row by row.

        Args:
            left: (N, dimension), the embeddings of the first images.
            right: (N, dimension), those of the second; one of the two may have a single row,
                which then meets every row of the other.

        Returns:
            float32 (N,), in the unit and direction of `metric`. Equal pairs have equal scores, but
            for the last bits of one whose layers multiply matrices.
        """
        raise NotImplementedError

    def one_with_many(self, one: Floats, many: Floats, *, one_is_left: bool = True) -> Floats:
        """Scores one embedding with others, outside of training; as `forward`.

        Args:
            one: (dimension,).
            many: (N, dimension).
            one_is_left: Whether the one is the embedding of the first images, or of the second.

        Returns:
            (N,).
        """
        with torch.inference_mode():
            pair = (torch.from_numpy(one)[None], torch.from_numpy(many))
            scores: Floats = self(*pair if one_is_left else pair[::-1]).numpy()
        return scores


class SigmoidComparator(Comparator):
    """A comparator whose score is the sigmoid of a learned logit."""

    metric = Metric.SIGMOID_SIMILARITY

    def logit(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """The score before the sigmoid, shapes as `forward`; what the training loss takes."""
        raise NotImplementedError

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """As `Comparator.forward`; values in [0, 1]."""
        return torch.sigmoid(self.logit(left, right).float())
