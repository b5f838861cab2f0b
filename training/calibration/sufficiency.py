"""Whether a calibration rests on enough."""

import math

from model_store.calibration import Calibration, LogisticCurve

FALSE_ACCEPTS_TO_SEE = 3
"""Of fewer expected false accepts, to see none at all is no surprise (rule of three)."""

FALSE_ACCEPTS_TO_RELY = 10
"""Fewer leave the threshold to chance: 10 give a relative standard error of about a third."""

CLASSES_WANTED = 20
"""Fewer classes say little about others."""


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
        found.append(
            f"{calibration.impostor_pairs:,} impostor pairs are too few for a false-accept rate "
            f"of {target:g}: at least {least:,} are needed to see one at all (rule of three), "
            f"{wanted:,} for a threshold to rely on; add images or classes, or ask for a higher "
            "rate"
        )
    if calibration.classes < CLASSES_WANTED:
        found.append(
            f"{calibration.classes} classes say little about others: the true rates may lie "
            f"outside the intervals; calibrate on {CLASSES_WANTED} or more"
        )
    return tuple(found)
