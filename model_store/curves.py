"""Curves from evidence to P(same): never falling, always strictly between 0 and 1."""

from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

Floats = npt.NDArray[np.float64]

# Beyond this a double can hardly tell the probability from 0 or 1; an answer of either would claim
# a certainty that no finite number of pairs gives.
_LOGIT_LIMIT = 30.0
# Keeps the logarithms of a beta curve finite for evidence beyond what it was fitted to.
_BETA_LIMIT = 1e-3

CONFIG = ConfigDict(
    frozen=True,
    extra="forbid",
    allow_inf_nan=False,
    json_schema_serialization_defaults_required=True,
)
"""Of what is written with every field, so that readers of its schema may count on each."""


def _probability(logit: npt.ArrayLike) -> Floats:
    limited = np.clip(np.asarray(logit, dtype=np.float64), -_LOGIT_LIMIT, _LOGIT_LIMIT)
    return np.asarray(0.5 * (1 + np.tanh(limited / 2)))


class LogisticCurve(BaseModel):
    """P(same) = 1 / (1 + exp(−(slope · evidence + intercept))).

    Platt, "Probabilistic outputs for support vector machines", 1999.
    """

    model_config = CONFIG

    method: Literal["logistic"] = "logistic"
    slope: Annotated[float, Field(ge=0)]
    intercept: float

    def probability(self, evidence: npt.ArrayLike) -> Floats:
        """P(same) of each value, any shape, in (0, 1), never falling as evidence rises."""
        return _probability(self.slope * np.asarray(evidence, dtype=np.float64) + self.intercept)


class BetaCurve(BaseModel):
    """P(same) = 1 / (1 + exp(−(rise · ln u − fall · ln(1 − u) + intercept))).

    u is the evidence, `low` becoming 0 and `high` 1, kept a little inside both. It bends where a
    logistic curve cannot. Kull, Silva Filho, Flach, "Beta calibration", AISTATS 2017, eq. 5, with
    a, b and c named rise, fall and intercept.
    """

    model_config = CONFIG

    method: Literal["beta"] = "beta"
    low: float
    high: float
    rise: Annotated[float, Field(ge=0)]
    fall: Annotated[float, Field(ge=0)]
    intercept: float

    @model_validator(mode="after")
    def _has_width(self) -> Self:
        if not self.low < self.high:
            raise ValueError("high must be above low")
        return self

    def probability(self, evidence: npt.ArrayLike) -> Floats:
        """P(same) of each value, any shape, in (0, 1), never falling as evidence rises."""
        rising, falling = beta_features(evidence, self.low, self.high)
        return _probability(self.rise * rising + self.fall * falling + self.intercept)


def beta_features(evidence: npt.ArrayLike, low: float, high: float) -> tuple[Floats, Floats]:
    """The features ln u and −ln(1 − u) of a `BetaCurve`: both rise with the evidence."""
    share = (np.asarray(evidence, dtype=np.float64) - low) / (high - low)
    share = np.clip(share, _BETA_LIMIT, 1 - _BETA_LIMIT)
    return np.asarray(np.log(share)), np.asarray(-np.log1p(-share))


class IsotonicCurve(BaseModel):
    """Straight lines, in logits, between knots; level beyond the outermost.

    Zadrozny, Elkan, "Transforming classifier scores into accurate multiclass probability
    estimates", KDD 2002; joined between the centres of the levels as Oron and Flournoy ("Centered
    isotonic regression", 2017) do, so that it also rises within what the fit would make level.

    Attributes:
        evidence: Of the knots, strictly rising.
        logits: Of P(same) at the knots, never falling.
    """

    model_config = CONFIG

    method: Literal["isotonic"] = "isotonic"
    evidence: Annotated[tuple[float, ...], Field(min_length=1, max_length=256)]
    logits: Annotated[tuple[float, ...], Field(min_length=1, max_length=256)]

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if len(self.evidence) != len(self.logits):
            raise ValueError("evidence and logits must be as many")
        if not (np.diff(self.evidence) > 0).all():
            raise ValueError("evidence must rise strictly")
        if not (np.diff(self.logits) >= 0).all():
            raise ValueError("logits must never fall")
        return self

    def probability(self, evidence: npt.ArrayLike) -> Floats:
        """P(same) of each value, any shape, in (0, 1), never falling as evidence rises."""
        values = np.asarray(evidence, dtype=np.float64)
        above = np.clip(np.searchsorted(self.evidence, values), 0, len(self.logits) - 1)
        # Rounding takes an interpolated value a hair beyond its knots, and so beyond its neighbour.
        logits = np.array(self.logits)
        between = np.interp(values, self.evidence, logits)
        return _probability(np.clip(between, logits[np.maximum(above - 1, 0)], logits[above]))


Curve = Annotated[LogisticCurve | BetaCurve | IsotonicCurve, Field(discriminator="method")]
"""Any of them; manifests tell which by its `method`."""
