"""Fitting each kind of curve by maximum likelihood under a prior.

Genuine and impostor pairs are weighted to the prior. Targets lie a little inside 0 and 1: no curve
promises more certainty than so many pairs can show. Platt (1999) takes (G + 1) / (G + 2) for G
genuine pairs and 1 / (I + 2) for I impostor pairs, as if each kind had two pairs more, one genuine
and one not. That is the prior 1/2. Under a prior π, 2π of the two are genuine: (G + 2π) / (G + 2)
and 2π / (I + 2). With 1 / (I + 2), what the impostors are said to hold of genuine pairs would
exceed a small prior, and probabilities come out far too high.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize

from model_store.curves import BetaCurve, IsotonicCurve, LogisticCurve, beta_features
from training.evaluation.metrics import Floats, pair_weights

_STEPS = 100
_TOLERANCE = 1e-10
# Levels of an isotonic curve before neighbours that would fall are merged. More of them follow the
# classes fitted to more closely and no others: from 20 to 100 the error on unseen classes rises.
_LEVELS = 20
# How far a beta curve reaches beyond the evidence seen, as a share of its range.
_MARGIN = 0.01


@dataclass(frozen=True)
class Evidence:
    """Evidence of pairs, with what a fit wants to learn of each.

    Attributes:
        values: Float64 (N,), higher is alike.
        target: Float64 (N,), Platt's for the prior.
        weight: Float64 (N,), summing to 1; the genuine pairs' to the prior.
        prior: The prior.
    """

    values: Floats
    target: Floats
    weight: Floats
    prior: float

    @staticmethod
    def of(genuine: npt.ArrayLike, impostor: npt.ArrayLike, prior: float) -> "Evidence":
        """Of genuine (G,) and impostor (I,) pairs, at least one each."""
        ours = np.asarray(genuine, dtype=np.float64)
        others = np.asarray(impostor, dtype=np.float64)
        return Evidence(
            np.concatenate([ours, others]),
            np.concatenate(
                [
                    np.full(len(ours), (len(ours) + 2 * prior) / (len(ours) + 2)),
                    np.full(len(others), 2 * prior / (len(others) + 2)),
                ]
            ),
            pair_weights(len(ours), len(others), prior),
            prior,
        )

    @property
    def flat(self) -> LogisticCurve:
        """The curve that always answers the prior."""
        return LogisticCurve(slope=0, intercept=math.log(self.prior / (1 - self.prior)))


def fit_logistic(
    genuine: npt.ArrayLike, impostor: npt.ArrayLike, *, prior: float = 0.5
) -> LogisticCurve:
    """Fits P(same) = 1 / (1 + exp(−(slope · x + intercept))).

    Newton steps with halving, as Lin, Lin, Weng ("A note on Platt's probabilistic outputs", 2007)
    advise.

    Args:
        genuine: Float (G,), evidence of pairs of one class, higher is alike.
        impostor: Float (I,), of pairs of two classes.
        prior: Share of genuine pairs to assume, in (0, 1).

    Returns:
        The curve; where evidence speaks for the contrary, one that always answers the prior.
    """
    known = Evidence.of(genuine, impostor, prior)
    centre, scale = float(known.values.mean()), float(known.values.std())
    # Values that are all the same may have a deviation, by rounding.
    if scale == 0 or np.ptp(known.values) == 0:
        return known.flat
    slope, intercept = _newton([(known.values - centre) / scale], known)
    if slope <= 0:
        return known.flat
    return LogisticCurve(slope=slope / scale, intercept=intercept - slope * centre / scale)


def fit_beta(
    genuine: npt.ArrayLike, impostor: npt.ArrayLike, *, prior: float = 0.5
) -> BetaCurve | LogisticCurve:
    """Fits a `BetaCurve` over the range of the evidence; arguments as `fit_logistic`.

    A parameter that comes out negative is set to 0 and the others fitted anew, as its authors do.

    Returns:
        The curve; where evidence speaks for the contrary, one that always answers the prior.
    """
    known = Evidence.of(genuine, impostor, prior)
    low, high = float(known.values.min()), float(known.values.max())
    margin = _MARGIN * (high - low)
    low, high = low - margin, high + margin
    if not low < high:
        return known.flat
    features = beta_features(known.values, low, high)
    rise, fall, intercept = _newton(features, known)
    if rise < 0 or fall < 0:
        kept = 0 if fall < rise else 1
        slope, intercept = _newton([features[kept]], known)
        if slope <= 0:
            return known.flat
        rise, fall = (slope, 0.0) if kept == 0 else (0.0, slope)
    return BetaCurve(low=low, high=high, rise=rise, fall=fall, intercept=intercept)


def fit_isotonic(
    genuine: npt.ArrayLike, impostor: npt.ArrayLike, *, prior: float = 0.5
) -> IsotonicCurve:
    """Fits an `IsotonicCurve` by pooling neighbours that would fall; arguments as `fit_logistic`.

    Pairs are first gathered in levels of equal weight; each gives one knot, at its mean evidence.
    """
    known = Evidence.of(genuine, impostor, prior)
    order = np.argsort(known.values, kind="stable")
    values, weight, target = (part[order] for part in (known.values, known.weight, known.target))
    level = np.minimum((np.cumsum(weight) * _LEVELS).astype(np.int64), _LEVELS - 1)
    # Equal evidence must not be torn apart: all of it goes where the first of it goes.
    level = level[np.searchsorted(values, values, side="left")]
    mass, moment, found = (
        np.bincount(level, weights=weights, minlength=_LEVELS)
        for weights in (weight, weight * values, weight * target)
    )
    there = mass > 0
    mass, moment, found = mass[there], moment[there], found[there]
    blocks = optimize.isotonic_regression(found / mass, weights=mass).blocks[:-1]
    mass, moment, found = (np.add.reduceat(part, blocks) for part in (mass, moment, found))
    share = found / mass
    logits = np.maximum.accumulate(np.log(share) - np.log1p(-share))
    at = moment / mass
    kept = np.concatenate([[True], np.diff(at) > 0])
    return IsotonicCurve(evidence=tuple(at[kept].tolist()), logits=tuple(logits[kept].tolist()))


def _newton(features: "list[Floats] | tuple[Floats, ...]", known: Evidence) -> list[float]:
    """Minimises the weighted cross-entropy over a weight a feature and an intercept; convex."""
    target, weight = known.target, known.weight
    columns = np.stack([*features, np.ones(len(target))])
    point = np.zeros(len(columns))
    point[-1] = np.log(weight @ target / (weight @ (1 - target)))
    loss = _cross_entropy(point @ columns, target, weight)
    for _ in range(_STEPS):
        promised = 0.5 * (1 + np.tanh(point @ columns / 2))
        curvature = weight * promised * (1 - promised)
        gradient = columns @ (weight * (promised - target))
        hessian = (columns * curvature) @ columns.T
        # A touch on the diagonal keeps the system solvable where the curve has become a step.
        step = np.linalg.solve(hessian + 1e-12 * np.eye(len(point)), gradient)
        share = 1.0
        while share > _TOLERANCE:
            trial = point - share * step
            trial_loss = _cross_entropy(trial @ columns, target, weight)
            if trial_loss < loss:
                break
            share /= 2
        else:
            break
        gained = loss - trial_loss
        point, loss = trial, trial_loss
        if gained < _TOLERANCE * max(loss, _TOLERANCE):
            break
    return [float(value) for value in point]


def _cross_entropy(logit: Floats, target: Floats, weight: Floats) -> float:
    return float(weight @ (np.logaddexp(0, logit) - target * logit))
