"""How long a step of training takes here."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from training.data.batches import Making
from training.distributed import Processes
from training.learning.learner import Learner
from training.recipe import Recipe


@dataclass(frozen=True)
class StepTime:
    """What a step takes.

    Attributes:
        seconds: For all of it.
        images: That it goes through.
    """

    seconds: float
    images: int


_CUDA_STEPS = 24
_CUDA_WARM_UP = 12
"""The first steps look for the fastest kernels and load them from disk: 20 s for VGG16 on an H200
whose later steps took 10 ms."""


def of_one_process(recipe: Recipe, processes: Processes) -> Recipe:
    """A recipe whose steps are what one of some processes does of a step: its share of the batches.

    Raises:
        TrainingError: They cannot be dealt evenly.
    """
    share = len(processes.share(recipe.batches_per_step))
    return recipe.model_copy(update={"batches_per_step": share})


def repeated(makings: Sequence[Making], steps: int, device: torch.device) -> list[Sequence[Making]]:
    """Steps to time that all take the same batches, as many as it takes.

    Args:
        makings: Of one step.
        steps: How many are enough on a CPU.
        device: The learner's.
    """
    return [makings] * (_CUDA_STEPS if device.type == "cuda" else steps)


def time_of_a_step(learner: Learner, steps: Iterable[Sequence[Making]]) -> StepTime:
    """Takes a few steps and times them.

    Args:
        learner: Learns from them.
        steps: The batches of each, at least two: the first makes what later ones find. On a GPU
            as many as `repeated` gives, of which the first half does that.

    Returns:
        The median of all but the first ones, and the images of the last.
    """
    times, images = [], 0
    for step, makings in enumerate(steps):
        began = time.perf_counter()
        learnt = learner.step(makings, step, 0.5)
        float(learnt.loss)  # A GPU answers only when asked.
        times.append(time.perf_counter() - began)
        images = learnt.images
    first = _CUDA_WARM_UP if learner.device.type == "cuda" else 1
    after_the_first = sorted(times[first:] or times[-1:])
    return StepTime(after_the_first[len(after_the_first) // 2], images)
