"""How many steps fit into a time."""

from collections.abc import Iterable, Sequence
from contextlib import closing

import torch

from model_store.cpus import available_cpus
from training.data.batches import Making
from training.data.parts import Parts
from training.data.pixels import PixelsAsTheyCome
from training.data.training_set import TrainingSet
from training.distributed import Processes
from training.learning.learner import Learner
from training.learning.timing import of_one_process, repeated, time_of_a_step
from training.recipe import Recipe
from training.run.planning import plan_training

_STEPS = 4
_FOR_TRAINING = 0.8
"""The rest is for what a machine that others use loses, and for the pictures."""

_FORWARD = 1 / 3
"""What embedding an image takes of what learning from it takes: a forward pass, no backward."""


def steps_within(
    seconds: float,
    recipe: Recipe,
    parts: Parts,
    device: torch.device,
    processes: Processes | None = None,
) -> int:
    """How many steps of a recipe fit, by the time of a few of them on this machine.

    Args:
        seconds: For training, validating and judging.
        recipe: What is to be trained; its own length does not matter.
        parts: Its data.
        device: Where.
        processes: Those that will train together. The first judges alone, and times its share of a
            step; what it takes to agree with the others is left out.

    Returns:
        At least 1.

    Raises:
        TwinlensError: Recipe and data do not go together.
    """
    pixels = PixelsAsTheyCome(
        parts.train, recipe.preprocessing, recipe.data.workers or available_cpus()
    )
    with closing(pixels):
        images = TrainingSet(pixels, turned_classes=recipe.data.turned_classes)
        timed = of_one_process(recipe, processes or Processes())
        timed = timed.model_copy(update={"max_steps": _STEPS, "epochs": None})
        batches, _ = plan_training(images, timed, device, validates=False)
        learner = Learner(timed, len(images.table), device)
        steps: Iterable[Sequence[Making]] = batches.following(0)
        if device.type == "cuda":
            # Images that fit into memory are decoded once, before the first step, and decoding
            # takes many times as long as a step here.
            steps = repeated(next(iter(steps)), _STEPS, device)
        step = time_of_a_step(learner, steps)
    judged = sum(len(part.items) for part in (parts.validation, parts.calibration) if part)
    looks = recipe.validation.times + recipe.validation.first
    watched = (
        0
        if parts.validation is None
        else min(len(parts.validation.items), recipe.validation.images)
    )
    judging = (judged + looks * watched) * step.seconds / step.images * _FORWARD
    return max(1, int((seconds * _FOR_TRAINING - judging) / step.seconds))
