"""Whether two classes that are hard to tell apart decide a threshold by themselves."""

import math

import numpy as np

from training.evaluation.pairs import ScoredPairs
from training.naming import one_line

_MOST = 0.5
"""Two classes that make up so large a part of the false accepts decide where the threshold lies."""

_FEWEST_PAIRS = 10
"""Among fewer false accepts, two classes may have most by accident."""


def confusable_warnings(scored: ScoredPairs, target_far: float) -> tuple[str, ...]:
    """Names the two classes that most false accepts are of, if there are such, in a sentence.

    Args:
        scored: The pairs that a calibration is made on.
        target_far: The false-accept rate that the threshold is chosen for, in [0, 1).
    """
    closest = math.floor(target_far * len(scored.impostor))
    if closest < _FEWEST_PAIRS:
        return ()
    order = np.argsort(-scored.impostor_alike, kind="stable")[:closest]
    classes = np.sort(scored.impostor_classes[order], axis=1)
    kinds, counts = np.unique(classes, axis=0, return_counts=True)
    most = int(counts.argmax())
    one, other = kinds[most].tolist()
    share = counts[most] / closest
    names = [one_line(name) for name in scored.class_names]
    if share < _MOST or other >= len(names):
        return ()
    decided = (
        f"{share:.0%} of the {closest:,} impostor pairs that are most alike, which decide the "
        f"threshold, are of '{names[one]}' and '{names[other]}'; if these are the same thing to "
        "you, put them into one folder; if not, calibrate on more classes, so that two of them "
        "weigh less"
    )
    return (decided,)
