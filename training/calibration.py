"""Fitting what turns a score into a probability and a decision."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.calibration import Calibration, LogisticCurve, evidence
from training.evaluation.intervals import clopper_pearson, hull
from training.evaluation.metrics import Floats, alike, pair_weights, roc
from training.evaluation.pairs import ScoredPairs
from training.evaluation.protocols.verification import rates_intervals

# Fewer expected false accepts than this leave the threshold to chance: 10 give a relative
# standard error of about a third.
_FALSE_ACCEPTS_WANTED = 10
_CLASSES_WANTED = 20
_STEPS = 100
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Calibrated:
    """A calibration, and what its user must know of it.

    Attributes:
        calibration: For the manifest.
        warnings: Sentences; empty where all is well.
    """

    calibration: Calibration
    warnings: tuple[str, ...]


def calibrate(
    scored: ScoredPairs,
    *,
    target_far: float,
    prior: float = 0.5,
    data: str = "",
    data_digest: str = "",
    seed: int = 0,
) -> Calibrated:
    """Fits the curve, and chooses the threshold for a false-accept rate.

    The intervals are hulls of two: drawing classes anew, which allows for pairs that depend on
    each other; and Clopper–Pearson on the pairs, which does not shrink to nothing where not one
    error was seen.

    Args:
        scored: Pairs of classes that the network was not trained on.
        target_far: Wanted at most, on these pairs; in [0, 1).
        prior: Share of genuine pairs that the probabilities are to assume, in (0, 1).
        data: What the pairs are, in words.
        data_digest: Over the images.
        seed: Of the intervals.
    """
    curve = fit_logistic(
        evidence(scored.genuine, scored.metric),
        evidence(scored.impostor, scored.metric),
        prior=prior,
    )
    point = roc(scored.genuine_alike, scored.impostor_alike).at_far(target_far)
    far_drawn, frr_drawn = rates_intervals(scored, point.threshold, seed)
    impostors, genuine = len(scored.impostor), len(scored.genuine)
    far = clopper_pearson(round(point.far * impostors), impostors)
    frr = clopper_pearson(round(point.frr * genuine), genuine)
    calibration = Calibration(
        curve=curve,
        prior=prior,
        threshold=float(alike(point.threshold, scored.metric)),
        target_far=target_far,
        far=point.far,
        far_interval=hull(far, far_drawn or (0.0, 1.0)),
        frr=point.frr,
        frr_interval=hull(frr, frr_drawn or (0.0, 1.0)),
        classes=scored.classes,
        genuine_pairs=genuine,
        impostor_pairs=impostors,
        data=data,
        data_digest=data_digest,
    )
    return Calibrated(calibration, tuple(_warnings(calibration)))


def fit_logistic(
    genuine: npt.ArrayLike, impostor: npt.ArrayLike, *, prior: float = 0.5
) -> LogisticCurve:
    """Fits P(same) = 1 / (1 + exp(−(slope · x + intercept))) by maximum likelihood.

    Genuine and impostor pairs are weighted to the prior. Targets are Platt's (1999), a little
    inside 0 and 1, so that data that separate perfectly give a finite slope too. Newton steps
    with halving, as Lin, Lin, Weng ("A note on Platt's probabilistic outputs", 2007) advise.

    Args:
        genuine: Float (G,), evidence of pairs of one class, higher is alike.
        impostor: Float (I,), of pairs of two classes.
        prior: Share of genuine pairs to assume, in (0, 1).

    Returns:
        The curve; where evidence speaks for the contrary, one that always answers the prior.
    """
    ours = np.asarray(genuine, dtype=np.float64)
    others = np.asarray(impostor, dtype=np.float64)
    values = np.concatenate([ours, others])
    centre, scale = float(values.mean()), float(values.std())
    flat = LogisticCurve(slope=0, intercept=math.log(prior / (1 - prior)))
    if scale == 0:
        return flat
    target = np.concatenate(
        [
            np.full(len(ours), (len(ours) + 1) / (len(ours) + 2)),
            np.full(len(others), 1 / (len(others) + 2)),
        ]
    )
    weight = pair_weights(len(ours), len(others), prior)
    slope, intercept = _newton((values - centre) / scale, target, weight)
    if slope <= 0:
        return flat
    return LogisticCurve(slope=slope / scale, intercept=intercept - slope * centre / scale)


def _newton(values: Floats, target: Floats, weight: Floats) -> tuple[float, float]:
    """Minimises the weighted cross-entropy over (slope, intercept); it is convex."""
    point = np.array([0.0, float(np.log(weight @ target / (weight @ (1 - target))))])
    loss = _cross_entropy(point, values, target, weight)
    for _ in range(_STEPS):
        promised = 0.5 * (1 + np.tanh((point[0] * values + point[1]) / 2))
        error = weight * (promised - target)
        curvature = weight * promised * (1 - promised)
        gradient = np.array([error @ values, error.sum()])
        hessian = np.array(
            [
                [curvature @ (values * values), curvature @ values],
                [curvature @ values, curvature.sum()],
            ]
        )
        # A touch on the diagonal keeps the system solvable where the curve has become a step.
        step = np.linalg.solve(hessian + 1e-12 * np.eye(2), gradient)
        share = 1.0
        while share > _TOLERANCE:
            trial = point - share * step
            trial_loss = _cross_entropy(trial, values, target, weight)
            if trial_loss < loss:
                break
            share /= 2
        else:
            break
        gained = loss - trial_loss
        point, loss = trial, trial_loss
        if gained < _TOLERANCE * max(loss, _TOLERANCE):
            break
    return float(point[0]), float(point[1])


def _cross_entropy(
    point: npt.NDArray[np.float64], values: Floats, target: Floats, weight: Floats
) -> float:
    logit = point[0] * values + point[1]
    return float(weight @ (np.logaddexp(0, logit) - target * logit))


def _warnings(calibration: Calibration) -> list[str]:
    found = []
    if calibration.curve.slope == 0:
        found.append(
            "the scores do not tell genuine from impostor pairs here: probabilities are the "
            "prior, whatever the images; the model does not suit these images, or it collapsed"
        )
    target = calibration.target_far
    wanted = math.ceil(_FALSE_ACCEPTS_WANTED / target) if target else math.inf
    if calibration.impostor_pairs < wanted:
        least = math.ceil(3 / target) if target else math.inf
        found.append(
            f"{calibration.impostor_pairs:,} impostor pairs are too few for a false-accept rate "
            f"of {target:g}: at least {least:,} are needed to see one at all (rule of three), "
            f"{wanted:,} for a threshold to rely on; add images or classes, or ask for a higher "
            "rate"
        )
    if calibration.classes < _CLASSES_WANTED:
        found.append(
            f"{calibration.classes} classes say little about others: the true rates may lie "
            f"outside the intervals; calibrate on {_CLASSES_WANTED} or more"
        )
    return found
