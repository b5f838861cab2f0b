"""From embeddings to scores, probabilities and decisions."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from app.inference.catalogue import LoadedModel
from app.inference.engines.base import Embeddings
from model_store.calibration import evidence

Floats = npt.NDArray[np.float64]

_ROWS_AT_ONCE = 2048


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
    """
    scores = np.empty(len(right))
    with torch.inference_mode():
        query = torch.from_numpy(left)[None]
        for start in range(0, len(right), _ROWS_AT_ONCE):
            rows = torch.from_numpy(right[start : start + _ROWS_AT_ONCE])
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
