"""From a raw score to a probability and a decision, as the manifest keeps it.

`training` fits these values; `app` applies them. Both through this code.
"""

from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from model_store.curves import CONFIG, BetaCurve, Curve, IsotonicCurve, LogisticCurve
from model_store.metric import Metric

__all__ = [
    "BetaCurve",
    "Calibration",
    "Curve",
    "Floats",
    "IsotonicCurve",
    "LogisticCurve",
    "ScoreDistribution",
    "evidence",
]

Floats = npt.NDArray[np.float64]
Decisions = npt.NDArray[np.bool_]
Share = Annotated[float, Field(ge=0, le=1)]

# Sigmoid scores of exactly 0 or 1 would have an infinite logit; float32 cannot tell values nearer
# to 0 or 1 than this from 0 or 1 anyway.
_LOGIT_LIMIT = 1e-7


def evidence(score: npt.ArrayLike, metric: Metric) -> Floats:
    """A score on the axis where a logistic curve fits: unbounded, higher is alike.

    Args:
        score: Any shape, in the unit of `metric`.
        metric: The logit for a sigmoid similarity, the logarithm for an exponential one, the
            negative for a dissimilarity, the value itself for a cosine.
    """
    values = np.asarray(score, dtype=np.float64)
    if metric is Metric.SIGMOID_SIMILARITY:
        values = np.clip(values, _LOGIT_LIMIT, 1 - _LOGIT_LIMIT)
        return np.asarray(np.log(values) - np.log1p(-values))
    if metric is Metric.EXPONENTIAL_SIMILARITY:
        return np.asarray(np.log(np.maximum(values, np.finfo(np.float32).tiny)))
    return values if metric.higher_is_alike else -values


class ScoreDistribution(BaseModel):
    """Where the scores of the calibration pairs lie: what scores in service are held against.

    Attributes:
        scores: Ascending, in the metric's unit.
        genuine: Of genuine pairs, the share that score at most each of them.
        impostor: Of impostor pairs likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    scores: Annotated[tuple[float, ...], Field(min_length=1)]
    genuine: tuple[Share, ...]
    impostor: tuple[Share, ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not len(self.scores) == len(self.genuine) == len(self.impostor):
            raise ValueError("scores, genuine and impostor must have as many values as each other")
        if any(right <= left for left, right in pairwise(self.scores)):
            raise ValueError("scores must rise")
        return self


class Calibration(BaseModel):
    """How far a score is to be trusted, and where `same` begins.

    Attributes:
        curve: Evidence → probability.
        log_losses: By method tried, the mean log loss (nats) on classes it was not fitted to, which
            chose the curve's; empty where there were too few classes to try.
        prior: The share of genuine pairs the probabilities assume.
        threshold: The score at which `same` begins, itself included, in the metric's unit.
        target_far: The false-accept rate the threshold was chosen for.
        far: The false-accept rate measured at the threshold, on the calibration pairs.
        far_interval: Where, with 95 % confidence, that of as many other classes is expected.
        frr: The false-reject rate measured at the threshold.
        frr_interval: Likewise, where that of as many other classes is expected.
        classes: Classes that gave its genuine pairs: with two images or more.
        genuine_pairs: Pairs of one class among them.
        impostor_pairs: Pairs of two classes among them.
        impostors: Whether those are all the impostor pairs that can be scored, or a limit left some
            out; None in calibrations of older versions.
        distribution: Where their scores lie; None in calibrations of older versions.
        data: What the pairs were, in words.
        data_digest: SHA-256 over the images, or empty if they are not files.
    """

    model_config = CONFIG

    curve: Curve
    log_losses: dict[str, Annotated[float, Field(ge=0)]] = {}
    prior: Annotated[float, Field(gt=0, lt=1)]
    threshold: float
    target_far: Share
    far: Share
    far_interval: tuple[Share, Share]
    frr: Share
    frr_interval: tuple[Share, Share]
    classes: Annotated[int, Field(ge=1)]
    genuine_pairs: Annotated[int, Field(ge=1)]
    impostor_pairs: Annotated[int, Field(ge=1)]
    impostors: Literal["exhaustive", "sample"] | None = None
    distribution: ScoreDistribution | None = None
    data: str
    data_digest: str = ""

    def probability(self, score: npt.ArrayLike, metric: Metric) -> Floats:
        """The calibrated P(same) of each score, any shape, in (0, 1)."""
        return self.curve.probability(evidence(score, metric))

    def judges_as(self, other: "Calibration | None") -> bool:
        """Whether figures measured under another calibration hold for this one."""
        if other is None:
            return False
        # Where scores lie, and of which pairs, is told beside the judgement, and is no part of it.
        told = {"distribution": self.distribution, "impostors": self.impostors}
        return self == other.model_copy(update=told)

    def same(self, score: npt.ArrayLike, metric: Metric) -> Decisions:
        """Whether each score, any shape, lies on the alike side of the threshold, itself included.

        NaN lies on neither side.
        """
        values = np.asarray(score, dtype=np.float64)
        reached = values >= self.threshold if metric.higher_is_alike else values <= self.threshold
        return np.asarray(reached)
