"""The network in training: one step at a time."""

from contextlib import AbstractContextManager

import torch
from torch import nn
from torch.optim import Optimizer

from model_store.network import SiameseNetwork
from training.components import build
from training.data.batch import Batch
from training.losses import LOSSES, Loss
from training.optimisation import MeanWeights, make_optimiser, peak_learning_rate
from training.randomness import Stream, seeded
from training.recipe import Recipe
from training.schedules import SCHEDULES, with_warm_up


class Learner:
    """A network, its loss, their optimiser and the running mean of the weights.

    Args:
        recipe: Everything about them.
        classes: Classes in the training data.
        device: Where they live.

    Attributes:
        network: What is trained.
        loss: What is lowered; parameters of its own are trained along.
        optimiser: Over both.
        mean: The running mean of the network's weights, if the recipe wants one.

    Raises:
        RecipeError, StoreError: The recipe cannot be built.
    """

    def __init__(self, recipe: Recipe, classes: int, device: torch.device) -> None:
        self.recipe = recipe
        self.device = device
        with seeded(recipe.seed, Stream.INITIALISATION):
            network = SiameseNetwork(recipe.network, recipe.preprocessing)
            self.loss: Loss = build(LOSSES, "loss", recipe.loss, network.dimension, classes)
        self.network: SiameseNetwork = network.to(device).to(memory_format=torch.channels_last)
        self.loss.to(device)
        self.optimiser: Optimizer = make_optimiser((self.network, self.loss), recipe.optimiser)
        self.mean = (
            None if recipe.mean_decay is None else MeanWeights(self.network, recipe.mean_decay)
        )
        self._parameters = [
            parameter for group in self.optimiser.param_groups for parameter in group["params"]
        ]
        self._peak = peak_learning_rate(recipe.optimiser, recipe.batch)
        curve = build(SCHEDULES, "schedule", recipe.schedule)
        self._curve = with_warm_up(curve, recipe.schedule.warm_up)

    @property
    def result(self) -> SiameseNetwork:
        """The network as it would be kept now: the running mean where there is one."""
        return self.network if self.mean is None else self.mean.network

    def learning_rate(self, progress: float) -> float:
        """The rate when a share `progress` of the training is done."""
        return self._peak * self._curve(progress)

    def step(self, batch: Batch, step: int) -> torch.Tensor:
        """Learns from one batch.

        Args:
            batch: On the device.
            step: Its number, counted from 0.

        Returns:
            The loss, a scalar on the device.
        """
        self.network.train()
        rate = self.learning_rate(batch.progress)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with seeded(self.recipe.seed, Stream.FORWARD, step, self.device):
            with self._precision():
                embeddings = self.network.embed(batch.images)
            loss: torch.Tensor = self.loss(self.network, embeddings, batch)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if self.recipe.clip is not None:
            nn.utils.clip_grad_norm_(self._parameters, self.recipe.clip, foreach=True)
        self.optimiser.step()
        if self.mean is not None:
            self.mean.update(self.network, step)
        return loss.detach()

    def _precision(self) -> AbstractContextManager[None]:
        chosen = self.recipe.precision
        half = chosen == "bf16" or (chosen == "auto" and self.device.type == "cuda")
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half)
