"""From embeddings to scores, probabilities and decisions."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.inference.catalogue import LoadedModel
from app.inference.engines.base import Embeddings
from app.inference.errors import InvalidInput

Floats = npt.NDArray[np.float64]

_VALUES_AT_ONCE = 1 << 17
"""Half a megabyte, of which a comparator makes as much again: read from memory once, then from the
processor's cache."""

_LARGEST_SQUARE = 1e37
"""Most that an embedding's squares may add up to: the length of the difference of two such is then
within float32's range."""


@dataclass(frozen=True)
class Judgement:
    """What a model says of N pairs.

    Attributes:
        scores: (N,), in the unit and direction of the model's metric.
        probabilities: (N,), calibrated P(same); None for a model that is not calibrated.
        same: (N,), the decisions; None for a model that is not calibrated.
        threshold: Where `same` begins; None for a model that is not calibrated.
    """

    scores: Floats
    probabilities: Floats | None
    same: npt.NDArray[np.bool_] | None
    threshold: float | None


def judge(
    model: LoadedModel, left: Embeddings, right: Embeddings, label: str = "candidates"
) -> Judgement:
    """Compares one embedding with others.

    Where the order of two images of one kind would change the score, both orders are averaged, so
    that it does not depend on which image was named first.

    Args:
        model: Whose comparator and calibration are used.
        left: (dimension,), the query, on the left side.
        right: (N, dimension), on the right side.
        label: What messages call those on the right.

    Raises:
        InvalidInput: One of the embeddings on the right has values that are not finite, or values
            are too large for the comparator.
    """
    scores = np.empty(len(right))
    comparator = model.network.comparator
    step = max(1, _VALUES_AT_ONCE // right.shape[1])
    for start in range(0, len(right), step):
        block = right[start : start + step]
        check_values(label, block, first=start)
        part = scores[start : start + len(block)]
        part[:] = comparator.one_with_many(left, block)
        if model.network.shares_weights and not model.manifest.symmetric:
            part += comparator.one_with_many(left, block, one_is_left=False)
            part /= 2
    # The layers of a comparator may multiply what they are given by anything.
    if not np.isfinite(scores).all():
        raise InvalidInput(f"embeddings: values too large for model '{model.name}' to compare")
    calibration, metric = model.manifest.calibration, model.manifest.metric
    if calibration is None:
        return Judgement(scores, None, None, None)
    return Judgement(
        scores,
        calibration.probability(scores, metric),
        calibration.same(scores, metric),
        calibration.threshold,
    )


def check_values(label: str, embeddings: Embeddings, first: int | None = None) -> None:
    """Refuses embeddings that hold anything but numbers, or such large ones that scores overflow.

    Args:
        label: What the message calls them.
        embeddings: (N, dimension).
        first: Index of the first among all that were sent, so that messages can name the one that
            is wrong; None for one that is alone.

    Raises:
        InvalidInput: A value is infinite or not a number, or an embedding is too long.
    """
    # One sum of squares tells of all of them that they are sound. If it is too large, or not a
    # number, it may still be that each is, and that only together they are too much.
    if np.vdot(embeddings, embeddings) <= _LARGEST_SQUARE:
        return
    squares = np.einsum("ij,ij->i", embeddings, embeddings)
    wrong = ~(squares <= _LARGEST_SQUARE)
    if not wrong.any():
        return
    row = int(wrong.argmax())
    named = label if first is None else f"{label}[{first + row}]"
    if not np.isfinite(embeddings[row]).all():
        raise InvalidInput(f"{named}: an embedding must hold finite numbers of float32's range")
    raise InvalidInput(
        f"{named}: values too large to compare; an embedding's squares must add up to "
        f"{_LARGEST_SQUARE:g} at most"
    )
