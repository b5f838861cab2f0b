"""Points of a sweep, measured in interleaved rounds."""

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        rounds: Of every sweep.
        seconds: Of each measurement.
    """

    rounds: int
    seconds: float


def interleaved(
    name: str, points: Sequence[int], measure: Callable[[int], Figures], rounds: int
) -> dict[int, dict[str, float]]:
    """Medians over the rounds of what was measured at each point.

    Args:
        name: Of the sweep, for people.
        points: Every one is measured in each round.
        measure: Figures at a point.
        rounds: How many.
    """
    found: dict[int, list[Figures]] = {point: [] for point in points}
    for number in range(rounds):
        print(f"{name}, round {number + 1} of {rounds} …", file=sys.stderr)
        for point in points:
            found[point].append(measure(point))
    return {
        point: {key: statistics.median(each[key] for each in results) for key in results[0]}
        for point, results in found.items()
    }
