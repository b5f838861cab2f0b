"""The network in training: one step at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer

from model_store.network import SiameseNetwork
from training.components import build
from training.data.batches import Making
from training.losses import LOSSES, Loss
from training.optimisation import MeanWeights, make_optimiser, peak_learning_rate
from training.randomness import Stream, seeded
from training.recipe import Recipe
from training.schedules import SCHEDULES, with_warm_up
from training.workers import Gradients, Workers


@dataclass(frozen=True)
class Learnt:
    """What a step did.

    Attributes:
        loss: Mean over its batches, a scalar on the device.
        images: Images it went through.
        rate: The learning rate.
    """

    loss: torch.Tensor
    images: int
    rate: float


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
        self._workers = Workers(recipe.seed, recipe.batches_per_step, device)
        self._peak = peak_learning_rate(recipe.optimiser, recipe.batch * recipe.batches_per_step)
        curve = build(SCHEDULES, "schedule", recipe.schedule)
        self._curve = with_warm_up(curve, recipe.schedule.warm_up)

    @property
    def result(self) -> SiameseNetwork:
        """The network as it would be kept now: the running mean where there is one."""
        return self.network if self.mean is None else self.mean.network

    def learning_rate(self, progress: float) -> float:
        """The rate when a share `progress` of the training is done."""
        return self._peak * self._curve(progress)

    def step(self, makings: Sequence[Making], step: int, progress: float) -> Learnt:
        """Learns from the batches of one step, by the mean of their gradients.

        Each batch is normalised by its own statistics, and the running ones become the mean of
        what each batch makes of them, however many batches are worked on at a time.

        Args:
            makings: Make the batches, on the device.
            step: Its number, counted from 0.
            progress: The share of the training that is done.
        """
        rate = self.learning_rate(progress)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        results = self._workers.run(self.network, makings, self._gradients, step)
        for parameter, *gradients in zip(
            self._parameters, *(result.gradients for result in results), strict=True
        ):
            parameter.grad = _mean(gradients)
        if self.recipe.clip is not None:
            nn.utils.clip_grad_norm_(self._parameters, self.recipe.clip, foreach=True)
        self.optimiser.step()
        if self.mean is not None:
            self.mean.update(self.network, step)
        loss = torch.stack([result.loss for result in results]).mean()
        return Learnt(loss, sum(result.images for result in results), rate)

    def _gradients(self, network: SiameseNetwork, making: Making) -> Gradients:
        batch = making()
        chosen = self.recipe.precision
        half = chosen == "bf16" or (chosen == "auto" and self.device.type == "cuda")
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            embeddings = network.embed(batch.images)
        loss: torch.Tensor = self.loss(network, embeddings, batch)
        gradients = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        return Gradients(gradients, loss.detach(), len(batch.images))


def _mean(gradients: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    """The mean, in which a parameter that a batch made no use of counts as 0."""
    found = [gradient for gradient in gradients if gradient is not None]
    if not found:
        return None
    total = found[0]
    for gradient in found[1:]:
        total = total + gradient
    return total if len(gradients) == 1 else total / len(gradients)
