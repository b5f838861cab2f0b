"""Softmax over the cosines to one learned prototype a class, with a margin."""

import math

import torch
from torch import nn
from torch.nn import functional
from typing_extensions import override

from model_store.network import SiameseNetwork
from training.data.batch import Batch
from training.losses.base import Loss, Measured


class CosineSoftmax(Loss):
    """The large-margin cosine loss (CosFace: Wang et al. 2018, arXiv 1801.09414, equation 4).

    With c_j the cosine between an embedding and the prototype of class j, the cross-entropy of
    the logits s·(c_j − m·[j is the true class]). Its accuracy is the share of the images whose
    largest cosine, without the margin, is that of their class.

    Args:
        dimension: Values of an embedding.
        classes: Classes in the training data, a prototype each.
        scale: s, > 0.
        margin: m, ≥ 0, in units of cosine.
        margin_warm_up: The share of the training over which the margin rises linearly from 0;
            a full margin from the first step on can keep training from starting.
        label_smoothing: The share of the target given evenly to all classes, in [0, 1).
    """

    def __init__(
        self,
        dimension: int,
        classes: int,
        *,
        scale: float = 24.0,
        margin: float = 0.1,
        margin_warm_up: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(dimension, classes)
        if scale <= 0 or margin < 0 or margin_warm_up < 0 or not 0 <= label_smoothing < 1:
            raise ValueError(
                "scale must be above 0, margin and margin_warm_up 0 or above, label_smoothing "
                "in [0, 1)"
            )
        self.scale = scale
        self.margin = margin
        self.margin_warm_up = margin_warm_up
        self.label_smoothing = label_smoothing
        self.prototypes = nn.Parameter(torch.empty(classes, dimension))
        nn.init.normal_(self.prototypes, std=dimension**-0.5)

    @override
    def measured(self, network: SiameseNetwork, embeddings: torch.Tensor, batch: Batch) -> Measured:
        """As `Loss.measured`; embeddings need not have unit length."""
        cosines = functional.linear(
            functional.normalize(embeddings, dim=-1), functional.normalize(self.prototypes, dim=-1)
        )
        held_back = torch.zeros_like(cosines).scatter_(
            1, batch.labels[:, None], self._margin_at(batch.progress)
        )
        loss = functional.cross_entropy(
            self.scale * (cosines - held_back), batch.labels, label_smoothing=self.label_smoothing
        )
        right = cosines.detach().argmax(1) == batch.labels
        return Measured(loss, right.float().mean())

    @override
    def collapsed_value(self, batch: Batch) -> float | None:
        """The cross-entropy where no cosine differs: ln K, and what the margin adds to it."""
        held_back = self.scale * self._margin_at(batch.progress)
        on_true_class = 1 - self.label_smoothing * (1 - 1 / self.classes)
        return math.log(math.exp(-held_back) + self.classes - 1) + on_true_class * held_back

    def _margin_at(self, progress: float) -> float:
        risen = min(1.0, progress / self.margin_warm_up) if self.margin_warm_up else 1.0
        return self.margin * risen
