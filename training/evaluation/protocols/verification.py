"""Verification: are two images of one class?"""

from collections.abc import Callable

import numpy as np

from model_store.calibration import Calibration
from training.evaluation.figures import AtThreshold, VerificationFigures
from training.evaluation.intervals import (
    GROUPS_WANTED,
    Interval,
    bootstrap_by_class,
    hull,
    rate_in_classes,
    rate_of_others,
    with_exact,
)
from training.evaluation.metrics import (
    ECE_BINS,
    Floats,
    Promises,
    Ranking,
    Roc,
    alike,
    rates_at,
)
from training.evaluation.pairs import ScoredPairs

FARS = ("0.10", "0.05", "0.01")


def verification_figures(
    scored: ScoredPairs, *, calibration: Calibration | None = None, seed: int = 0
) -> VerificationFigures:
    """Says how well genuine and impostor pairs part.

    Args:
        scored: Pairs.
        calibration: The model's own, for its calibration error and the rates at its threshold.
        seed: Of the intervals; recorded as that of the sample of impostor pairs too.
    """
    ranking = Ranking(scored.genuine_alike, scored.impostor_alike)
    roc = ranking.roc()
    accuracy, best = roc.best_accuracy()
    intervals = bootstrap_by_class(
        ranking,
        scored.genuine_class,
        scored.impostor_classes,
        {
            "auc": Roc.auc,
            "eer": Roc.eer,
            "accuracy": lambda drawn: drawn.best_accuracy()[0],
            **{far: _frr_at(float(far)) for far in FARS},
        },
        weighted=_of_calibration(scored, calibration) if calibration else None,
        seed=seed,
    )
    frr_at_far = {far: roc.at_far(float(far)).frr for far in FARS}
    trials = _genuine_trials(scored)

    def interval(name: str, share: float) -> Interval | None:
        found = intervals.get(name)
        return None if found is None else with_exact(found, share, trials)

    return VerificationFigures(
        images=scored.images,
        classes=scored.classes,
        pairs=len(scored.genuine) + len(scored.impostor),
        genuine_pairs=len(scored.genuine),
        impostor_pairs=len(scored.impostor),
        genuine=scored.genuine_pairs.coverage,
        impostors=scored.impostor_pairs.coverage,
        seed=seed,
        auc=roc.auc(),
        auc_interval=interval("auc", roc.auc()),
        eer=roc.eer(),
        eer_interval=interval("eer", roc.eer()),
        accuracy=accuracy,
        accuracy_interval=interval("accuracy", accuracy),
        accuracy_threshold=float(alike(best.threshold, scored.metric)),
        frr_at_far=frr_at_far,
        frr_at_far_interval=(
            {far: with_exact(intervals[far], frr, trials) for far, frr in frr_at_far.items()}
            if intervals
            else None
        ),
        calibration_error=probability_error(scored, calibration) if calibration else None,
        calibration_error_interval=intervals.get("calibration_error"),
        at_threshold=_at_threshold(scored, calibration, seed, interval) if calibration else None,
    )


def probability_error(
    scored: ScoredPairs, calibration: Calibration, *, bins: int = ECE_BINS
) -> float:
    """The ECE of a calibration's probabilities, genuine pairs weighing as much as its prior says.

    Args:
        scored: Pairs, of classes that the calibration has not seen if the figure is to be honest.
        calibration: What turns their scores into probabilities.
        bins: Of equal width over [0, 1].
    """
    return _promises(scored, calibration, bins).error()


def _promises(scored: ScoredPairs, calibration: Calibration, bins: int = ECE_BINS) -> Promises:
    genuine = calibration.probability(scored.genuine, scored.metric)
    impostor = calibration.probability(scored.impostor, scored.metric)
    return Promises(genuine, impostor, calibration.prior, bins=bins)


def _genuine_trials(scored: ScoredPairs) -> int:
    """How many genuine pairs may count as independent: no two with the same first image.

    Those are as many as it takes to join the images of each class together; whatever else pairs of
    them say follows from these for the most part. Between two folders it is the side with more
    images that asks.
    """
    pairs = scored.genuine_pairs
    return max(len(np.unique(pairs.left)), len(np.unique(pairs.right)))


def _frr_at(far: float) -> Callable[[Roc], float]:
    return lambda roc: roc.at_far(far).frr


def _of_calibration(
    scored: ScoredPairs, calibration: Calibration
) -> dict[str, Callable[[Floats, Floats], float]]:
    """What a calibration is worth under weights of the genuine and the impostor pairs."""
    # As floats, because a product with booleans turns them anew in every draw.
    kept = calibration.same(scored.genuine, scored.metric).astype(np.float64)
    refused = 1.0 - calibration.same(scored.impostor, scored.metric)

    def accuracy(genuine: Floats, impostor: Floats) -> float:
        rates = (genuine @ kept / genuine.sum(), impostor @ refused / impostor.sum())
        return float(sum(rates) / 2)

    return {
        "calibration_error": _promises(scored, calibration).error,
        "accuracy at threshold": accuracy,
    }


def _at_threshold(
    scored: ScoredPairs,
    calibration: Calibration,
    seed: int,
    interval: Callable[[str, float], Interval | None],
) -> AtThreshold:
    threshold = float(alike(calibration.threshold, scored.metric))
    point = rates_at(scored.genuine_alike, scored.impostor_alike, threshold)
    far_interval, frr_interval = rates_intervals(scored, threshold, seed)
    accuracy = 1 - (point.far + point.frr) / 2
    return AtThreshold(
        threshold=calibration.threshold,
        target_far=calibration.target_far,
        far=point.far,
        far_interval=far_interval,
        frr=point.frr,
        frr_interval=frr_interval,
        accuracy=accuracy,
        accuracy_interval=interval("accuracy at threshold", accuracy),
    )


def rates_intervals(scored: ScoredPairs, threshold: float, seed: int) -> tuple[Interval, Interval]:
    """Where the false-accept and the false-reject rate of as many other classes are expected.

    Where classes come in four groups or more, such as alphabets, of as many other groups: those of
    one group are alike, and a threshold chosen on some alphabets meets others. That of false
    rejects holds `rate_in_classes`, too: drawing these classes anew does not show the few of others
    that are rejected most of the time.

    Args:
        scored: Pairs.
        threshold: Turned so that higher is alike.
        seed: Of the draws.
    """
    groups = scored.group_of_class
    impostors, genuine = scored.impostor_classes, scored.genuine_class
    if groups is not None and len(np.unique(groups[genuine])) >= GROUPS_WANTED:
        impostors, genuine = groups[impostors], groups[genuine]
    rejected = scored.genuine_alike < threshold
    return (
        rate_of_others(scored.impostor_alike >= threshold, impostors, seed=seed),
        hull(
            rate_of_others(rejected, genuine, seed=seed),
            rate_in_classes(rejected, scored.genuine_class),
        ),
    )
