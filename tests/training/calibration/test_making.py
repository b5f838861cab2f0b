"""Calibrations: threshold, curve and where scores lie."""

import numpy as np
import pytest

from model_store.calibration import evidence
from model_store.metric import Metric
from tests.training.calibration.clouds import scored
from tests.training.scored import scored as hand_scored
from training.calibration import (
    calibrate,
)
from training.calibration.making import distribution_of
from training.evaluation.protocols.verification import probability_error


@pytest.mark.parametrize("comparator", ["euclidean", "cosine", "absolute-difference-sigmoid"])
@pytest.mark.parametrize("far", [0.001, 0.01, 0.1])
def test_the_threshold_keeps_the_wanted_rate(comparator, far):
    pairs = scored(30, comparator)
    found = calibrate(pairs, target_far=far, data="clouds", data_digest="0" * 64).calibration
    metric = pairs.metric
    accepted = np.mean(found.same(pairs.impostor, metric))
    rejected = np.mean(~found.same(pairs.genuine, metric))
    assert accepted == found.far <= far
    assert rejected == found.frr
    assert found.far_interval[0] <= found.far <= found.far_interval[1]
    assert found.frr_interval[0] <= found.frr <= found.frr_interval[1]
    assert (found.classes, found.genuine_pairs) == (30, 30 * 15)
    assert found.impostor_pairs == len(pairs.impostor)
    assert found.target_far == far
    assert (found.data, found.data_digest) == ("clouds", "0" * 64)


def test_probabilities_hold_for_classes_never_seen():
    found = calibrate(scored(60, seed=0), target_far=0.01).calibration
    assert probability_error(scored(60, seed=1), found) < 0.05


def test_the_wanted_rate_holds_for_classes_never_seen_within_its_interval():
    found = calibrate(scored(60, seed=0), target_far=0.05).calibration
    pairs = scored(200, seed=1, images=3)
    achieved = np.mean(found.same(pairs.impostor, pairs.metric))
    assert found.far_interval[0] <= achieved <= found.far_interval[1]


def test_the_prior_moves_probabilities_and_not_the_threshold():
    pairs = scored(30)
    even, rare = (calibrate(pairs, target_far=0.01, prior=p).calibration for p in (0.5, 0.01))
    assert even.threshold == rare.threshold
    assert (even.prior, rare.prior) == (0.5, 0.01)
    x = evidence(even.threshold, Metric.EUCLIDEAN_DISSIMILARITY)
    assert rare.curve.probability(x) < even.curve.probability(x)


def test_no_error_seen_is_not_certainty():
    found = calibrate(scored(30, spread=0.001), target_far=0.0).calibration
    assert (found.far, found.frr) == (0, 0)
    assert found.far_interval[1] > 0
    assert found.frr_interval[1] > 3 / found.genuine_pairs


def test_where_scores_lie_is_told_by_their_tenths():
    """Of 0.001 … 0.1 the tenths are 0.0109, 0.0208 …; of one score all are that."""
    pairs = hand_scored(np.arange(100, 0, -1) / 1000, [0.05] * 5)
    found = distribution_of(pairs)
    tenths = [0.0109, 0.0208, 0.0307, 0.0406, 0.0505, 0.0604, 0.0703, 0.0802, 0.0901]
    assert found.scores == (*tenths[:4], 0.05, *tenths[4:])
    assert found.genuine == (0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.6, 0.7, 0.8, 0.9)
    assert found.impostor == (0,) * 4 + (1,) * 6
    assert calibrate(pairs, target_far=0.5).calibration.distribution == found


def test_it_comes_out_the_same_again_by_the_seed_alone():
    pairs = scored(20, spread=1.2)
    first, again, other = (calibrate(pairs, target_far=0.01, seed=s).calibration for s in (3, 3, 4))
    assert first == again
    assert first.log_losses != other.log_losses
    assert first.far_interval != other.far_interval
