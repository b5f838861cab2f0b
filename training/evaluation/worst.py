"""What a model does worst, for people to look at."""

import numpy as np

from training.evaluation.answers import Answers
from training.evaluation.metrics import Floats, Indices
from training.evaluation.pairs import ScoredPairs


def worst_impostors(scored: ScoredPairs, count: int) -> Indices:
    """The impostor pairs that are most alike, the most alike first.

    Two classes that the model takes for one, or one spoiled picture, would fill any list. So of
    pairs of the same two classes only the worst is taken, as long as there are others.

    Args:
        scored: The pairs.
        count: How many at most.

    Returns:
        int64 (≤ count,), positions in `scored.impostor`.
    """
    classes = np.sort(scored.impostor_classes, axis=1)
    codes = classes[:, 0] * (int(classes.max()) + 1) + classes[:, 1]
    return _spread(-scored.impostor_alike, codes, count)


def worst_genuine(scored: ScoredPairs, count: int) -> Indices:
    """The genuine pairs that are least alike, the least alike first, spread as impostors are.

    Returns:
        int64 (≤ count,), positions in `scored.genuine`.
    """
    return _spread(scored.genuine_alike, scored.genuine_class, count)


def worst_answers(answers: Answers, count: int) -> Indices:
    """The queries whose right candidate is furthest behind the best wrong one, worst first.

    A query that was asked several times is taken once, at its worst.

    Returns:
        int64 (≤ count,), positions in `answers`.
    """
    lead = answers.lead()
    order = np.argsort(lead, kind="stable")
    _, first = np.unique(answers.query[order], return_index=True)
    return np.asarray(order[np.sort(first)][:count])


def _spread(goodness: Floats, kinds: Indices, count: int) -> Indices:
    """The positions of the lowest values: one of every kind before a second of any."""
    order = np.argsort(goodness, kind="stable")
    _, first = np.unique(kinds[order], return_index=True)
    again = np.ones(len(order), dtype=bool)
    again[first] = False
    taken = np.sort(np.argsort(again, kind="stable")[:count])
    return np.asarray(order[taken])
