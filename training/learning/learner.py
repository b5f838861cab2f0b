"""The network in training: one step at a time."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer

from model_store.network import SiameseNetwork, Side
from training.components import build
from training.data.batch import Batch
from training.data.batches import Making
from training.distributed import Processes
from training.errors import RecipeError
from training.learning.anchor import Anchor
from training.learning.averaging import MeanWeights
from training.learning.freezing import Frozen
from training.learning.optimisation import (
    backbone_parameters,
    make_optimiser,
    peak_learning_rate,
    set_rate,
)
from training.learning.precision import Precision
from training.learning.workers import Gradients, Workers, running_statistics
from training.losses import LOSSES, Loss
from training.randomness import Stream, seeded
from training.recipe import Recipe
from training.schedules import SCHEDULES, with_warm_up


@dataclass(frozen=True)
class Learnt:
    """What a step did.

    Attributes:
        loss: Mean over its batches, a scalar on the device.
        accuracy: Likewise; None where the loss has none.
        images: Images it went through.
        rate: The learning rate.
    """

    loss: torch.Tensor
    accuracy: torch.Tensor | None
    images: int
    rate: float


class Learner:
    """A network, its loss, their optimiser and the running mean of the weights.

    Args:
        recipe: Everything about them.
        classes: Classes in the training data.
        device: Where they live.
        begin: Puts initial weights into the network just drawn, if any other than those.
        frozen_steps: The first steps, in which the backbone stays as it is.
        processes: Those that train along.

    Attributes:
        network: What is trained.
        loss: What is lowered; parameters of its own are trained along.
        optimiser: Over both.
        mean: The running mean of the network's weights, if the recipe wants one.
        anchor: The weights that training started from, if the recipe keeps a share of them.
        precision: What the network computes in.

    Raises:
        RecipeError, StoreError, TrainingError: The recipe cannot be built, or not on this device.
    """

    def __init__(
        self,
        recipe: Recipe,
        classes: int,
        device: torch.device,
        *,
        begin: Callable[[SiameseNetwork], object] | None = None,
        frozen_steps: float = 0.0,
        processes: Processes | None = None,
    ) -> None:
        self.recipe = recipe
        self.device = device
        self.precision = Precision(recipe.precision, device)
        self._processes = processes or Processes()
        mine = self._processes.share(recipe.batches_per_step)
        with seeded(recipe.seed, Stream.INITIALISATION):
            network = SiameseNetwork(recipe.network, recipe.preprocessing)
            self.loss: Loss = build(LOSSES, "loss", recipe.loss, network.dimension, classes)
        if begin is not None:
            begin(network)
        if recipe.synchronised_batch_norm:
            network = self._processes.normalising_together(network, device)
        self.network: SiameseNetwork = network.to(device).to(memory_format=torch.channels_last)
        self.loss.to(device)
        self.optimiser: Optimizer = make_optimiser((self.network, self.loss), recipe.optimiser)
        self.mean = (
            None if recipe.mean_decay is None else MeanWeights(self.network, recipe.mean_decay)
        )
        share = recipe.start.share
        self.anchor = Anchor(self.network, share) if share else None
        self._parameters = [
            parameter for group in self.optimiser.param_groups for parameter in group["params"]
        ]
        self._frozen_steps = frozen_steps
        self._check_some_learn()
        self._workers = Workers(recipe.seed, mine, recipe.batches_per_step, device)
        self._peak = peak_learning_rate(recipe.optimiser, recipe.batch * recipe.batches_per_step)
        curve = build(SCHEDULES, "schedule", recipe.schedule)
        self._curve = with_warm_up(curve, recipe.schedule.warm_up)

    @property
    def side_by_side(self) -> int:
        """How many batches are worked on at a time, once it has made a step."""
        return self._workers.side_by_side

    @property
    def gradients_held(self) -> int:
        """How many gradients of a weight a step holds at a time, once it has made one."""
        return self._workers.gradients_held

    @property
    def result(self) -> SiameseNetwork:
        """The network as it would be kept now.

        The running mean where there is one; on the way to it from the start where there is an
        anchor.
        """
        network = self.network if self.mean is None else self.mean.network
        return network if self.anchor is None else self.anchor.between(network)

    def learning_rate(self, progress: float) -> float:
        """The rate when a share `progress` of the training is done."""
        return self._peak * self._curve(progress)

    def step(self, makings: Sequence[Making], step: int, progress: float) -> Learnt:
        """Learns from the batches of one step, by the mean of their gradients.

        Each batch is normalised by its own statistics, and the running ones become the mean of
        what each batch makes of them, however many batches are worked on at a time.

        Args:
            makings: Make this process's batches of it, on the device.
            step: Its number, counted from 0.
            progress: The share of the training that is done.
        """
        rate = self.learning_rate(progress)
        set_rate(self.optimiser, rate)
        # Those of the step before would only take memory beside the new ones.
        self.optimiser.zero_grad()
        results = self._workers.run(
            self.network,
            makings,
            self._gradients,
            step,
            frozen=Frozen(step < self._frozen_steps, self.recipe.freeze.statistics),
        )
        loss, accuracy, images = self._take_in(results)
        self.precision.unscale(self.optimiser)
        if self.recipe.clip is not None:
            nn.utils.clip_grad_norm_(self._parameters, self.recipe.clip, foreach=True)
        self.precision.step(self.optimiser)
        if self.mean is not None:
            self.mean.update(self.network, step)
        return Learnt(loss, accuracy, images, rate)

    def _take_in(
        self, results: Iterable[Gradients]
    ) -> tuple[torch.Tensor, torch.Tensor | None, int]:
        """Gives every parameter the mean of its gradients, over all processes.

        Returns:
            The mean loss and accuracy, likewise, and the images of all processes.
        """
        losses: list[torch.Tensor] = []
        accuracies: list[torch.Tensor] = []
        images = 0
        gradients: list[torch.Tensor | None] = [None] * len(self._parameters)
        for result in results:
            losses.append(result.loss)
            if result.accuracy is not None:
                accuracies.append(result.accuracy)
            images += result.images * self._processes.count
            for position, gradient in enumerate(result.gradients):
                gradients[position] = _sum(gradients[position], gradient)
            # Or the last ones would stay while those of the next batch are computed.
            del result, gradient
        told = [torch.stack(values).mean() for values in (losses, accuracies) if values]
        if len(losses) > 1:
            # A parameter that a batch made no use of counts as 0 there.
            gradients = [each if each is None else each / len(losses) for each in gradients]
        if self._processes.count > 1:
            used = self._processes.any_of([gradient is not None for gradient in gradients])
            mine = [
                torch.zeros_like(parameter) if gradient is None else gradient
                for parameter, gradient, some in zip(self._parameters, gradients, used, strict=True)
                if some
            ]
            statistics = running_statistics(self.network)
            means = iter(self._processes.mean_of([*told, *statistics, *mine]))
            told = [next(means) for _ in told]
            for buffer in statistics:
                buffer.copy_(next(means))
            gradients = [next(means) if some else None for some in used]
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        return told[0], told[1] if accuracies else None, images

    def _check_some_learn(self) -> None:
        """Refuses to freeze all there is."""
        frozen = {id(parameter) for parameter in backbone_parameters(self.network)}
        if self._frozen_steps and all(id(parameter) in frozen for parameter in self._parameters):
            raise RecipeError(
                "nothing learns while the backbone is frozen, since the network has no parameters "
                "behind it; leave out freeze, or add a layer such as --set "
                "network.branches.0.projection=256"
            )

    def _gradients(self, network: SiameseNetwork, making: Making) -> Gradients:
        batch = making()
        with self.precision.autocast():
            embeddings = _embedded(network, batch)
        measured = self.loss.measured(network, embeddings, batch)
        learning = [parameter for parameter in self._parameters if parameter.requires_grad]
        found = iter(
            torch.autograd.grad(self.precision.scaled(measured.loss), learning, allow_unused=True)
        )
        gradients = tuple(
            next(found) if parameter.requires_grad else None for parameter in self._parameters
        )
        return Gradients(gradients, measured.loss.detach(), measured.accuracy, len(batch.images))


def _embedded(network: SiameseNetwork, batch: Batch) -> torch.Tensor:
    """Every image embedded by the branch of its side; float (N, dimension)."""
    if batch.on_right is None or network.shares_weights:
        return network.embed(batch.images)
    left, right = (~batch.on_right).nonzero().flatten(), batch.on_right.nonzero().flatten()
    halves = [
        network.embed(batch.images[rows], side)
        for rows, side in ((left, Side.LEFT), (right, Side.RIGHT))
    ]
    return torch.cat(halves)[torch.cat([left, right]).argsort()]


def _sum(total: torch.Tensor | None, gradient: torch.Tensor | None) -> torch.Tensor | None:
    if total is None or gradient is None:
        return gradient if total is None else total
    return total + gradient
