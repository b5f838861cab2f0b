"""From scored pairs to a calibration: the curve, the threshold, and how far to trust both."""

from dataclasses import dataclass

import numpy as np

from model_store.calibration import Calibration, ScoreDistribution
from training.calibration.choosing import choose_curve
from training.calibration.confusable import confusable_warnings
from training.calibration.sufficiency import calibration_warnings
from training.evaluation.metrics import alike, roc
from training.evaluation.pairs import ScoredPairs
from training.evaluation.protocols.verification import rates_intervals

# Enough to see a shift, few enough for a metric with as many buckets.
_STEPS = 10


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
    """Chooses and fits the curve, and chooses the threshold for a false-accept rate.

    The intervals are those in which the rates of as many other classes, or groups of classes, are
    expected (`rates_intervals`).

    Args:
        scored: Pairs of classes that the network was not trained on.
        target_far: Wanted at most, on these pairs; in [0, 1).
        prior: Share of genuine pairs that the probabilities are to assume, in (0, 1).
        data: What the pairs are, in words.
        data_digest: Over the images.
        seed: Of the folds that choose the curve, and of the intervals.
    """
    chosen = choose_curve(scored, prior=prior, seed=seed)
    point = roc(scored.genuine_alike, scored.impostor_alike).at_far(target_far)
    far_interval, frr_interval = rates_intervals(scored, point.threshold, seed)
    calibration = Calibration(
        curve=chosen.curve,
        log_losses=chosen.log_losses,
        prior=prior,
        threshold=float(alike(point.threshold, scored.metric)),
        target_far=target_far,
        far=point.far,
        far_interval=far_interval,
        frr=point.frr,
        frr_interval=frr_interval,
        classes=scored.paired_classes,
        genuine_pairs=len(scored.genuine),
        impostor_pairs=len(scored.impostor),
        impostors="sample" if scored.impostor_pairs.limited else "exhaustive",
        distribution=distribution_of(scored),
        data=data,
        data_digest=data_digest,
    )
    warnings = (*calibration_warnings(calibration), *confusable_warnings(scored, target_far))
    return Calibrated(calibration, warnings)


def distribution_of(scored: ScoredPairs) -> ScoreDistribution:
    """Where scores lie: their shares at the tenths of either kind, three digits each."""
    steps = np.arange(1, _STEPS) / _STEPS
    quantiles = [np.quantile(scores, steps) for scores in (scored.genuine, scored.impostor)]
    edges = sorted({float(f"{edge:.3g}") for edge in np.concatenate(quantiles)})
    genuine, impostor = (
        (np.searchsorted(np.sort(scores), edges, side="right") / len(scores)).tolist()
        for scores in (scored.genuine, scored.impostor)
    )
    return ScoreDistribution(scores=tuple(edges), genuine=tuple(genuine), impostor=tuple(impostor))
