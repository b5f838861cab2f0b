"""The positive nearer to the anchor than the negative: both published forms."""

from abc import abstractmethod
from typing import Literal

import torch
from typing_extensions import override

from model_store.network import SiameseNetwork
from training.data.batch import Batch
from training.errors import RecipeError
from training.losses.accuracy import share_in_order
from training.losses.base import Loss, Measured
from training.losses.mining import MINERS, relations


class _Triplet(Loss):
    def __init__(
        self, dimension: int, classes: int, *, mining: str, margin: float, normalise: bool
    ) -> None:
        super().__init__(dimension, classes)
        if margin <= 0:
            raise ValueError("margin must be above 0")
        self.margin = margin
        self.normalise = normalise
        self._mine = MINERS[mining]

    @override
    def measured(self, network: SiameseNetwork, embeddings: torch.Tensor, batch: Batch) -> Measured:
        """As `Loss.measured`; 0 where the miner finds nothing left to learn."""
        if self.normalise:
            embeddings = torch.nn.functional.normalize(embeddings, dim=-1)
        distances = _distances(embeddings)
        anchors, positives, negatives = self._mine(distances.detach(), batch.labels, self.margin)
        if not len(anchors):
            if not _has_triplet(batch.labels):
                raise RecipeError(
                    "a triplet loss needs two images of one class and one of another in the "
                    "batch; set sampling.name=classes-by-images"
                )
            loss = embeddings.sum() * 0
        else:
            loss = self._value(distances[anchors, positives], distances[anchors, negatives])
        return Measured(loss, share_in_order(distances, *relations(batch.labels)))

    @abstractmethod
    def _value(self, near: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
        """The loss from d(a, p) and d(a, n), each (T,)."""


class TripletMargin(_Triplet):
    """max(0, d(a, p) − d(a, n) + m), averaged over the triplets mined.

    Schroff, Kalenichenko, Philbin 2015, arXiv 1503.03832, equation 3, with d itself where they
    square it. Its accuracy is the share of all triplets of the batch, mined or not, whose positive
    is the nearer one: miners choose by that.

    Args:
        dimension: Values of an embedding.
        classes: Classes in the training data.
        margin: m, > 0, in units of distance.
        mining: Which triplets of the batch count: `semi-hard`, `batch-hard` or `all`.
        normalise: Whether distances are taken at unit length, for networks that do not
            normalise by themselves.
    """

    def __init__(
        self,
        dimension: int,
        classes: int,
        *,
        margin: float = 0.2,
        mining: Literal["semi-hard", "batch-hard", "all"] = "semi-hard",
        normalise: bool = False,
    ) -> None:
        super().__init__(dimension, classes, mining=mining, margin=margin, normalise=normalise)

    @override
    def _value(self, near: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
        return (near - far + self.margin).clamp(min=0).mean()

    @override
    def collapsed_value(self, batch: Batch) -> float | None:
        """The margin, as all distances are 0."""
        return self.margin


class TripletSoftmax(_Triplet):
    """The mean squared error of the softmax of the two distances against (0, 1).

    With d₊ = e^d(a,p) / (e^d(a,p) + e^d(a,n)) and d₋ = 1 − d₊, the loss is d₊² + (d₋ − 1)² =
    2·d₊² (Hoffer, Ailon 2015, arXiv 1412.6622, section 3.1). Its accuracy is as that of
    `triplet-margin`.

    Args:
        dimension: Values of an embedding.
        classes: Classes in the training data.
        mining: Which triplets of the batch count: `all`, `semi-hard` or `batch-hard`.
        margin: For `semi-hard` mining, in units of distance.
    """

    def __init__(
        self,
        dimension: int,
        classes: int,
        *,
        mining: Literal["all", "semi-hard", "batch-hard"] = "all",
        margin: float = 1.0,
    ) -> None:
        super().__init__(dimension, classes, mining=mining, margin=margin, normalise=False)

    @override
    def _value(self, near: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
        return 2 * torch.sigmoid(near - far).square().mean()

    @override
    def collapsed_value(self, batch: Batch) -> float | None:
        """½: both distances take half of the softmax."""
        return 0.5


def _distances(embeddings: torch.Tensor) -> torch.Tensor:
    """‖e_i − e_j‖₂ for all pairs, (N, N); its gradient is 0, not infinite, where it is 0."""
    squares = embeddings.square().sum(1)
    squared = (squares[:, None] + squares - 2 * embeddings @ embeddings.T).clamp(min=0)
    zero = squared <= torch.finfo(squared.dtype).eps * squares.detach().max()
    return torch.where(zero, torch.ones_like(squared), squared).sqrt() * ~zero


def _has_triplet(labels: torch.Tensor) -> bool:
    counts = torch.unique(labels, return_counts=True)[1]
    return len(counts) > 1 and bool((counts > 1).any())
