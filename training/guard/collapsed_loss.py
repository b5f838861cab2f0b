"""What the loss would be worth if all embeddings were the same, over a stretch of steps."""

import numpy as np
import torch

from training.components import build
from training.data.batch import Batch
from training.data.sampling import SAMPLERS
from training.data.training_set import TrainingSet
from training.losses import Loss
from training.recipe import Recipe

_BATCHES = 8


class CollapsedLoss:
    """Asks the loss, batch by batch: what it is worth depends on the classes in a batch.

    Args:
        loss: The run's.
        images: What it trains on; none of them is read.
        recipe: The run's.
        steps: Of the whole run.
    """

    def __init__(self, loss: Loss, images: TrainingSet, recipe: Recipe, steps: int) -> None:
        self._loss = loss
        self._images = images
        # One of its own, since samplers remember and the other one draws ahead in a thread.
        self._sampler = build(
            SAMPLERS, "sampler", recipe.sampling, images.table, recipe.batch, recipe.seed
        )
        self._per_step = recipe.batches_per_step
        self._steps = steps

    def __call__(self, first: int, last: int) -> float | None:
        """The mean over batches of some steps, evenly spread.

        Args:
            first: The first step of the stretch, counted from 0.
            last: The last step of it.

        Returns:
            None where the loss has no such value.
        """
        chosen = np.unique(np.linspace(first, last, _BATCHES).astype(int)).tolist()
        values = [self._loss.collapsed_value(self._outline(step)) for step in chosen]
        found = [value for value in values if value is not None]
        return float(np.mean(found)) if found and len(found) == len(values) else None

    def _outline(self, step: int) -> Batch:
        """The first batch of a step, without its images."""
        draw = self._sampler.draw(step * self._per_step)
        none = torch.empty(len(draw.indices), 0)
        return self._images.batch(draw, none, (step + 0.5) / self._steps)
