"""The memory that a training takes."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from model_store.network import Side
from training.learning.learner import Learner

_SAMPLE = 8


@dataclass(frozen=True)
class Footprint:
    """Bytes by purpose.

    Attributes:
        weights: The network, the loss, and the running mean where there is one.
        gradients: Of each weight that learns, in each batch that is worked on at a time, and
            their sum.
        optimiser: What the optimiser remembers.
        activations: What the forward pass of a batch keeps for the backward pass.
        images: Decoded images held in memory.
    """

    weights: int
    gradients: int
    optimiser: int
    activations: int
    images: int

    @property
    def total(self) -> int:
        """All of it together."""
        return self.weights + self.gradients + self.optimiser + self.activations + self.images


def footprint(learner: Learner, activations: int, images: int) -> Footprint:
    """What a learner takes that has made a step.

    Args:
        learner: Its gradients and its optimiser's memory are there since that step.
        activations: Bytes of all batches that are worked on at a time.
        images: Bytes of the images held in memory.
    """
    modules: list[nn.Module] = [learner.network, learner.loss]
    if learner.mean is not None:
        modules.append(learner.mean.network)
    gradients = [
        parameter.grad for group in learner.optimiser.param_groups for parameter in group["params"]
    ]
    kept = () if learner.anchor is None else learner.anchor.weights.values()
    return Footprint(
        weights=_bytes(tensor for module in modules for tensor in module.state_dict().values())
        + _bytes(kept),
        gradients=learner.gradients_held
        * _bytes(gradient for gradient in gradients if gradient is not None),
        optimiser=_bytes(
            value
            for state in learner.optimiser.state.values()
            for value in state.values()
            if isinstance(value, torch.Tensor)
        ),
        activations=activations,
        images=images,
    )


def activation_bytes(learner: Learner, images: torch.Tensor) -> int:
    """What the forward pass of as many images keeps for the backward pass.

    Measured on 8 of them, by what autograd saves, and scaled: each image adds the same. The
    network's running statistics take the measured batch in.

    Args:
        learner: In training, part of it may be frozen.
        images: (N, height, width, channels), a whole batch.
    """
    sample = images[:_SAMPLE]
    if len(sample) < 2:
        sample = sample.repeat(2, 1, 1, 1)
    kept = {_place(tensor) for tensor in learner.network.state_dict().values()}
    saved: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if _place(tensor) not in kept:
            saved[_place(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        learner.precision.autocast(),
    ):
        # By one branch: where there are two, an image goes through either the one or the other.
        graph = learner.network.embed(sample, Side.LEFT)
    # Only now may the graph go: before, a place could be given away and counted once for two.
    del graph
    return sum(saved.values()) * len(images) // len(sample)


def _place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
