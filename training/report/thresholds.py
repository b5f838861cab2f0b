"""For a wanted false-accept rate: the threshold, what it costs, and whether the data can tell."""

import math
from dataclasses import dataclass

from training.calibration.sufficiency import (
    CLASSES_WANTED,
    FALSE_ACCEPTS_TO_RELY,
    FALSE_ACCEPTS_TO_SEE,
)
from training.evaluation.intervals import Interval
from training.evaluation.metrics import alike, roc
from training.evaluation.pairs import ScoredPairs
from training.evaluation.protocols.verification import rates_intervals

WANTED = (0.1, 0.05, 0.01, 0.001)
"""The false-accept rates of the table."""


@dataclass(frozen=True)
class Wanted:
    """What a false-accept rate asks for.

    Attributes:
        target: The rate, at most.
        threshold: In the metric's unit.
        far: Measured at that threshold.
        far_interval: Its 95 % interval.
        frr: Measured at that threshold.
        frr_interval: Its 95 % interval.
        advice: What is to be known of it; empty where the pairs suffice.
        told: Whether the pairs can tell such a rate at all.
    """

    target: float
    threshold: float
    far: float
    far_interval: Interval
    frr: float
    frr_interval: Interval
    advice: str
    told: bool


def wanted_rates(
    scored: ScoredPairs, *, seed: int = 0, targets: tuple[float, ...] = WANTED
) -> tuple[Wanted, ...]:
    """The threshold for each rate, as `calibrate` would choose it on these pairs.

    Intervals are as there (`rates_intervals`).

    Args:
        scored: Pairs.
        seed: Of the draws.
        targets: The rates wanted, each in (0, 1).
    """
    curve = roc(scored.genuine_alike, scored.impostor_alike)
    impostors, limited = len(scored.impostor), scored.impostor_pairs.limited
    found = []
    for target in targets:
        point = curve.at_far(target)
        far_interval, frr_interval = rates_intervals(scored, point.threshold, seed)
        found.append(
            Wanted(
                target=target,
                threshold=float(alike(point.threshold, scored.metric)),
                far=point.far,
                far_interval=far_interval,
                frr=point.frr,
                frr_interval=frr_interval,
                advice=_advice(target, impostors, limited=limited),
                told=impostors * target >= FALSE_ACCEPTS_TO_SEE,
            )
        )
    return tuple(found)


def few_classes(scored: ScoredPairs) -> str:
    """What is to be said of the number of classes; empty where there are enough."""
    classes = scored.paired_classes
    if classes >= CLASSES_WANTED:
        return ""
    say = "class says" if classes == 1 else "classes say"
    return (
        f"{classes} {say} little about others: the true rates may lie outside the "
        f"intervals; measure on {CLASSES_WANTED} classes or more"
    )


def _advice(target: float, impostors: int, *, limited: bool) -> str:
    if impostors * target >= FALSE_ACCEPTS_TO_RELY:
        return ""
    see, rely = (
        math.ceil(round(count / target, 6))
        for count in (FALSE_ACCEPTS_TO_SEE, FALSE_ACCEPTS_TO_RELY)
    )
    more = "; they are a sample: --max-impostors takes more of those there are" if limited else ""
    if impostors * target >= FALSE_ACCEPTS_TO_SEE:
        return (
            f"{impostors:,} impostor pairs are few for this rate: {rely:,} would be reliable{more}"
        )
    few = f"{impostors:,} impostor pairs"
    few = f"{few} are too few" if limited else f"the data are too few: {few}"
    return (
        f"{few}; {see:,} are needed to tell such a rate at all, {rely:,} to rely on the "
        f"threshold{more}"
    )
