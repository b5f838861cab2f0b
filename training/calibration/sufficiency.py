"""Whether a calibration rests on enough."""

import math

from model_store.calibration import Calibration, LogisticCurve
from training.evaluation.pairs import ScoredPairs
from training.naming import named

FALSE_ACCEPTS_TO_SEE = 3
"""Of fewer expected false accepts, to see none at all is no surprise (rule of three)."""

FALSE_ACCEPTS_TO_RELY = 10
"""Fewer leave the threshold to chance: 10 give a relative standard error of about a third."""

CLASSES_WANTED = 20
"""Fewer classes say little about others."""

_HARDLY_EVER = 0.9
"""A threshold that rejects so large a part of the genuine pairs hardly ever says `same`."""


def calibration_warnings(calibration: Calibration) -> tuple[str, ...]:
    """What users of a calibration must know of it, in sentences; empty where all is well.

    At least 3 / FAR impostor pairs are needed to see one false accept at all, with 95 % certainty
    (the rule of three: Hanley, Lippman-Hand, JAMA 1983).
    """
    found = []
    curve = calibration.curve
    if isinstance(curve, LogisticCurve) and curve.slope == 0:
        found.append(
            "the scores do not tell genuine from impostor pairs here: probabilities are the "
            "prior, whatever the images; the model does not suit these images, or it collapsed"
        )
    target = calibration.target_far
    wanted = math.ceil(FALSE_ACCEPTS_TO_RELY / target) if target else math.inf
    if calibration.impostor_pairs < wanted:
        least = math.ceil(FALSE_ACCEPTS_TO_SEE / target) if target else math.inf
        seen = calibration.impostor_pairs >= least
        told = f"at least {least:,} are needed to see one at all (rule of three), {wanted:,}"
        more = "add images or classes"
        if calibration.impostors == "sample":
            more = (
                "they are a sample of those there are, of which `calibrate` takes more with "
                "--max-impostors, on images that the model has not learnt from; do that"
            )
        found.append(
            f"{calibration.impostor_pairs:,} impostor pairs are {'' if seen else 'too '}few for a "
            f"false-accept rate of {target:g}: {f'{wanted:,} are needed' if seen else told} for a "
            f"threshold to rely on; {more}, or ask for a higher rate"
        )
    elif calibration.frr >= _HARDLY_EVER:
        found.append(
            f"at the threshold for a false-accept rate of {target:g}, {calibration.frr:.1%} of the "
            "genuine pairs are called different: `same` is hardly ever true; ask for a higher "
            "rate, or for a better model"
        )
    if calibration.classes < CLASSES_WANTED:
        say = "class says" if calibration.classes == 1 else "classes say"
        found.append(
            f"{calibration.classes} {say} little about others: the true rates may lie "
            f"outside the intervals; calibrate on {CLASSES_WANTED} or more"
        )
    return tuple(found)


def unpaired_warnings(scored: ScoredPairs) -> tuple[str, ...]:
    """What is to be known of classes that give no genuine pairs, in a sentence; else empty."""
    names = scored.unpaired
    if not names:
        return ()
    told = (
        f"{len(names)} class(es) have no second image to compare with, and so no pair of one "
        f"class: {named(names)}; add an image to each, or take them away"
    )
    return (told,)


def chance_warnings(auc: float, interval: tuple[float, float] | None) -> tuple[str, ...]:
    """What users of a model must know that may be guessing, in a sentence; else empty.

    Args:
        auc: Area under the curve on the classes that judge it, in [0, 1].
        interval: Where it is to be expected; None where classes are too few to tell.
    """
    if auc > 0.5 and (interval is None or interval[0] > 0.5):
        return ()
    known = "" if interval is None else f", {interval[0]:.3f} – {interval[1]:.3f}"
    guessing = (
        "on the classes that judge it, this model may be guessing: the area under the curve "
        f"is {auc:.3f}{known}, and 0.5 is chance; train on more classes, for longer, or from "
        "weights that know images already"
    )
    return (guessing,)
