"""From embeddings to scores, probabilities and decisions."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from app.inference.catalogue import LoadedModel
from app.inference.engines.base import Embeddings
from app.inference.errors import InvalidInput
from model_store.calibration import evidence

Floats = npt.NDArray[np.float64]

_VALUES_AT_ONCE = 1 << 18
"""A megabyte: read from memory once, then from the processor's cache."""


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


def judge(model: LoadedModel, left: Embeddings, right: Embeddings) -> Judgement:
    """Compares one embedding with others.

    Where the order of two images of one kind would change the score, both orders are averaged, so
    that it does not depend on which image was named first.

    Args:
        model: Whose comparator and calibration are used.
        left: (dimension,), the query, on the left side.
        right: (N, dimension), on the right side.

    Raises:
        InvalidInput: One of the embeddings on the right has values that are not finite.
    """
    scores = np.empty(len(right))
    with torch.inference_mode():
        query = torch.from_numpy(left)[None]
        step = max(1, _VALUES_AT_ONCE // right.shape[1])
        for start in range(0, len(right), step):
            block = right[start : start + step]
            check_finite("candidates", block)
            rows = torch.from_numpy(block)
            part = model.network.comparator(query, rows)
            if model.network.shares_weights and not model.manifest.symmetric:
                part = (part + model.network.comparator(rows, query)) / 2
            scores[start : start + len(rows)] = part.numpy()
    calibration, metric = model.manifest.calibration, model.manifest.metric
    if calibration is None:
        return Judgement(scores, None, None, None)
    threshold = calibration.threshold
    return Judgement(
        scores,
        calibration.curve.probability(evidence(scores, metric)),
        scores >= threshold if metric.higher_is_alike else scores <= threshold,
        threshold,
    )


def check_finite(label: str, embeddings: Embeddings) -> None:
    """Refuses embeddings that hold anything but numbers.

    Args:
        label: What the message calls them.
        embeddings: Of any shape.

    Raises:
        InvalidInput: A value is infinite or not a number.
    """
    # A sum of squares is finite only if every value is, but it may also be too large itself.
    if not np.isfinite(np.vdot(embeddings, embeddings)) and not np.isfinite(embeddings).all():
        raise InvalidInput(f"{label}: embeddings must be finite numbers of float32's range")
