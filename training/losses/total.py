"""Several losses at once, each with its weight."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn
from typing_extensions import override

from model_store.network import SiameseNetwork
from training.components import Component, build
from training.data.batch import Batch
from training.losses.base import Loss, Measured


class Total(Loss):
    """Σ weight_k · loss_k over the same embeddings; the accuracy is the first one that there is.

    Args:
        dimension: Values of an embedding.
        classes: Classes in the training data.
        table: The losses there are.
        parts: What to add up: mappings with `name`, `options` as a recipe's `loss` has them, and
            `weight` (1 if left out).
    """

    def __init__(
        self,
        dimension: int,
        classes: int,
        table: Mapping[str, Callable[..., Loss]],
        *,
        parts: Sequence[Mapping[str, object]],
    ) -> None:
        super().__init__(dimension, classes)
        if not parts:
            raise ValueError("give at least one part")
        self.weights = [float(str(part.get("weight", 1.0))) for part in parts]
        self.losses = [
            build(
                table,
                "loss",
                Component.model_validate({k: v for k, v in part.items() if k != "weight"}),
                dimension,
                classes,
            )
            for part in parts
        ]
        self.parts = nn.ModuleList(self.losses)

    @override
    def measured(self, network: SiameseNetwork, embeddings: torch.Tensor, batch: Batch) -> Measured:
        """As `Loss.measured`."""
        total, accuracy = torch.zeros((), device=embeddings.device), None
        for weight, part in zip(self.weights, self.losses, strict=True):
            measured = part.measured(network, embeddings, batch)
            total = total + weight * measured.loss
            accuracy = measured.accuracy if accuracy is None else accuracy
        return Measured(total, accuracy)

    @override
    def collapsed_value(self, batch: Batch) -> float | None:
        """The weighted sum over the parts; None where one of them has none."""
        values = [part.collapsed_value(batch) for part in self.losses]
        found = [value for value in values if value is not None]
        if len(found) < len(values):
            return None
        return sum(weight * value for weight, value in zip(self.weights, found, strict=True))
