"""Scored pairs of scores chosen by hand."""

import numpy as np

from model_store.calibration import Calibration, LogisticCurve
from model_store.metric import Metric
from training.evaluation.pairs import ScoredPairs, score_folder
from training.evaluation.pool import Pairs
from training.evaluation.protocols.verification import verification_figures


def scored(
    genuine,
    impostor,
    *,
    metric=Metric.COSINE_SIMILARITY,
    genuine_class=None,
    impostor_classes=None,
    class_names=(),
) -> ScoredPairs:
    """Pairs with those scores; every genuine pair of class 0, every impostor of 0 and 1."""
    ours, others = len(genuine), len(impostor)
    return ScoredPairs(
        metric=metric,
        genuine=np.array(genuine, dtype=np.float64),
        impostor=np.array(impostor, dtype=np.float64),
        genuine_class=np.array(
            [0] * ours if genuine_class is None else genuine_class, dtype=np.int64
        ),
        impostor_classes=np.array(
            [(0, 1)] * others if impostor_classes is None else impostor_classes, dtype=np.int64
        ),
        genuine_pairs=Pairs(np.zeros(ours, np.int64), np.ones(ours, np.int64)),
        impostor_pairs=Pairs(np.zeros(others, np.int64), np.full(others, 2)),
        images=3,
        class_names=tuple(class_names),
    )


def verification(embedded, network, *, right=None, calibration=None, seed=0, **options):
    """The figures of the pairs of embedded folders."""
    pairs = score_folder(network, embedded, right, seed=seed, **options)
    return verification_figures(pairs, calibration=calibration, seed=seed)


def calibration(*, slope=1, threshold=0.0, prior=0.5) -> Calibration:
    """A calibration with that curve and threshold, its other values made up."""
    return Calibration(
        curve=LogisticCurve(slope=slope, intercept=0),
        prior=prior,
        threshold=threshold,
        target_far=0.1,
        far=0.1,
        far_interval=(0, 0.2),
        frr=0.1,
        frr_interval=(0, 0.2),
        classes=2,
        genuine_pairs=4,
        impostor_pairs=4,
        data="made up",
    )
