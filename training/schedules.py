"""Learning-rate schedules by name. A new one is one new function and one line in the table.

A schedule is a function of the share of the training done, so that nothing of it need be saved,
and a run that is bounded to fewer steps goes through the whole of it.
"""

import math
from collections.abc import Callable
from typing import Annotated

from pydantic import Field

Curve = Callable[[float], float]
"""From the share of the training done after warm-up, in [0, 1], to a factor of the peak rate."""


def constant() -> Curve:
    """The peak rate throughout."""
    return lambda _: 1.0


def cosine(*, floor: Annotated[float, Field(ge=0, le=1)] = 0.0) -> Curve:
    """Falls from 1 along half a cosine (Loshchilov, Hutter 2017, arXiv 1608.03983, equation 5).

    Args:
        floor: Where it ends, in [0, 1].
    """
    return lambda done: floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def step(*, every: float = 0.3, factor: float = 0.1) -> Curve:
    """Is multiplied by a factor at even distances.

    Args:
        every: The distance, as a share of the training, > 0.
        factor: The factor, > 0.
    """
    if every <= 0 or factor <= 0:
        raise ValueError("every and factor must be above 0")
    # The small term keeps 3 · 0.3 = 0.8999… from counting as below three distances.
    return lambda done: float(factor ** math.floor(done / every + 1e-9))


SCHEDULES: dict[str, Callable[..., Curve]] = {
    "constant": constant,
    "cosine": cosine,
    "step": step,
}


def with_warm_up(curve: Curve, warm_up: float) -> Curve:
    """Rises linearly to the peak over the first share of the training, then follows the curve.

    Args:
        curve: What follows.
        warm_up: That share, in [0, 1).
    """

    def risen(done: float) -> float:
        if done < warm_up:
            return done / warm_up
        return curve((done - warm_up) / (1 - warm_up))

    return risen
