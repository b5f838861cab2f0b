"""How long a step of training takes here."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.data.batches import Making
from training.learning.learner import Learner


@dataclass(frozen=True)
class StepTime:
    """What a step takes.

    Attributes:
        seconds: For all of it.
        images: That it goes through.
    """

    seconds: float
    images: int


def time_of_a_step(learner: Learner, steps: Iterable[Sequence[Making]]) -> StepTime:
    """Takes a few steps and times them.

    Args:
        learner: Learns from them.
        steps: The batches of each, at least two: the first makes what later ones find.

    Returns:
        The median of all but the first, and the images of the last.
    """
    times, images = [], 0
    for step, makings in enumerate(steps):
        began = time.perf_counter()
        learnt = learner.step(makings, step, 0.5)
        float(learnt.loss)  # A GPU answers only when asked.
        times.append(time.perf_counter() - began)
        images = learnt.images
    after_the_first = sorted(times[1:])
    return StepTime(after_the_first[len(after_the_first) // 2], images)
