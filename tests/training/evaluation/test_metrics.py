import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from model_store.metric import Metric
from training.evaluation.metrics import (
    Promises,
    Ranking,
    alike,
    pair_weights,
    rates_at,
    roc,
)

# Few distinct values, so that ties are the rule.
tied = st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 2.0]), min_size=1, max_size=12)
free = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=12)
scores = st.one_of(tied, free)


def slow_rates(genuine, impostor, threshold):
    far = sum(score >= threshold for score in impostor) / len(impostor)
    frr = sum(score < threshold for score in genuine) / len(genuine)
    return far, frr


@given(scores, scores)
def test_auc_is_the_share_of_pairs_in_order(genuine, impostor):
    slow = np.mean([(g > i) + 0.5 * (g == i) for g in genuine for i in impostor])
    assert roc(genuine, impostor).auc() == pytest.approx(slow, abs=1e-12)


@pytest.mark.parametrize(("impostors", "genuine"), [(20, 1), (52, 3), (158, 1), (189, 2)])
def test_auc_is_never_more_than_one(impostors, genuine):
    # The shares of these numbers add up to a little more.
    apart = roc([2 + n for n in range(genuine)], [n / impostors for n in range(impostors)])
    assert apart.auc() == 1


@given(scores, scores)
def test_auc_agrees_with_scikit_learn(genuine, impostor):
    truth = [1] * len(genuine) + [0] * len(impostor)
    theirs = sklearn_metrics.roc_auc_score(truth, genuine + impostor)
    assert roc(genuine, impostor).auc() == pytest.approx(theirs, abs=1e-12)


@given(scores, scores)
def test_rates_at_every_threshold_are_counted(genuine, impostor):
    found = roc(genuine, impostor)
    for threshold, far, frr in zip(found.thresholds, found.far, found.frr, strict=True):
        assert (far, frr) == slow_rates(genuine, impostor, threshold)
        if np.isfinite(threshold):
            point = rates_at(genuine, impostor, threshold)
            assert (point.far, point.frr) == (far, frr)
    assert (found.far[0], found.frr[0]) == (1, 0)
    assert (found.far[-1], found.frr[-1]) == (0, 1)


@given(scores, scores, st.sampled_from([0.0, 0.01, 0.1, 1 / 3, 0.29, 0.5, 1.0]))
def test_the_threshold_for_a_far_keeps_it_and_no_lower_one_rejects_less(genuine, impostor, target):
    point = roc(genuine, impostor).at_far(target)
    assert np.isfinite(point.threshold)
    assert slow_rates(genuine, impostor, point.threshold) == (point.far, point.frr)
    assert point.far <= target
    within = [
        frr
        for threshold in [*genuine, *impostor, np.inf]
        for far, frr in [slow_rates(genuine, impostor, threshold)]
        if far <= target
    ]
    assert point.frr == min(within)


def test_exactly_the_target_is_kept():
    impostor = np.arange(100) / 100
    assert roc([2.0], impostor).at_far(0.29).far == 0.29
    assert roc([2.0], impostor).at_far(0.07).far == 0.07


def test_the_threshold_lies_halfway_between_its_neighbours():
    point = roc([0.5, 0.9], [0.1, 0.2, 0.3]).at_far(0.0)
    assert point.threshold == pytest.approx(0.4)
    assert point.frr == 0


def test_between_scores_that_no_number_lies_between_the_upper_one_is_the_threshold():
    """Half the sum of 1 and the next number is 1 again, which the impostor reaches."""
    point = roc([np.nextafter(1, 2)], [1.0]).at_far(0.0)
    assert point.threshold == np.nextafter(1, 2)
    assert (point.far, point.frr) == (0, 0)


def test_a_threshold_above_all_scores_is_still_a_number():
    point = roc([0.5], [0.9]).at_far(0.0)
    assert point.threshold == np.nextafter(0.9, np.inf)
    assert (point.far, point.frr) == (0, 1)


@pytest.mark.parametrize(
    ("genuine", "impostor", "expected"),
    [
        ([1, 2, 3], [-1, 0], 0.0),
        ([-1, 0], [1, 2, 3], 1.0),
        ([0, 1], [0, 1], 0.5),
        ([5], [5], 0.5),
        # At 0.4: FAR 1/4, FRR 1/4.
        ([0.3, 0.6, 0.7, 0.8], [0.1, 0.2, 0.3, 0.5], 0.25),
        # From (FAR 1, FRR 0) at 1 to (1/3, 1/2) at 2: they meet where 1 − 2s/3 = s/2, s = 6/7.
        ([1, 2], [1, 1, 2], 3 / 7),
    ],
)
def test_eer_by_hand(genuine, impostor, expected):
    assert roc(genuine, impostor).eer() == pytest.approx(expected, abs=1e-12)


@given(scores, scores)
def test_eer_lies_between_the_rates_around_the_crossing(genuine, impostor):
    found = roc(genuine, impostor)
    eer = found.eer()
    crossing = int(np.argmax(found.far <= found.frr))
    assert found.far[crossing] - 1e-12 <= eer <= found.far[crossing - 1] + 1e-12
    assert found.frr[crossing - 1] - 1e-12 <= eer <= found.frr[crossing] + 1e-12


@given(scores, scores)
def test_the_best_accuracy_is_the_best_of_all_thresholds(genuine, impostor):
    accuracy, point = roc(genuine, impostor).best_accuracy()
    rates = [slow_rates(genuine, impostor, t) for t in [*genuine, *impostor, np.inf]]
    assert accuracy == pytest.approx(max(1 - (far + frr) / 2 for far, frr in rates))
    far, frr = slow_rates(genuine, impostor, point.threshold)
    assert accuracy == pytest.approx(1 - (far + frr) / 2)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.0]), st.integers(0, 3)), min_size=1),
    st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.0]), st.integers(0, 3)), min_size=1),
)
def test_a_weight_is_the_same_as_so_many_copies(genuine, impostor):
    parts = (genuine, impostor)
    copies = [[score for score, weight in part for _ in range(weight)] for part in parts]
    if not all(copies):
        return
    (ours, our_weights), (others, other_weights) = (zip(*part, strict=True) for part in parts)
    weighted = Ranking(ours, others).roc(
        np.array(our_weights, dtype=float), np.array(other_weights, dtype=float)
    )
    copied = roc(*copies)
    assert weighted.auc() == pytest.approx(copied.auc())
    assert weighted.eer() == pytest.approx(copied.eer())
    assert weighted.at_far(0.3).frr == pytest.approx(copied.at_far(0.3).frr)


@pytest.mark.parametrize(
    ("genuine", "impostor"), [([], [1]), ([1], []), ([np.nan], [1]), ([1], [np.inf])]
)
def test_no_scores_or_no_numbers_are_refused(genuine, impostor):
    with pytest.raises(ValueError, match="ranking needs"):
        roc(genuine, impostor)


def test_dissimilarities_are_turned_and_turned_back_exactly():
    values = np.array([0.1, 0.7])
    turned = alike(values, Metric.EUCLIDEAN_DISSIMILARITY)
    assert turned.tolist() == [-0.1, -0.7]
    assert alike(turned, Metric.EUCLIDEAN_DISSIMILARITY).tolist() == [0.1, 0.7]
    assert alike(values, Metric.COSINE_SIMILARITY).tolist() == [0.1, 0.7]


def slow_ece(probability, same, weights, bins):
    total = 0.0
    for number in range(bins):
        inside = [
            (p, s, w)
            for p, s, w in zip(probability, same, weights, strict=True)
            if number == min(int(p * bins), bins - 1)
        ]
        weight = sum(w for _, _, w in inside)
        if weight:
            promised = sum(p * w for p, _, w in inside) / weight
            found = sum(s * w for _, s, w in inside) / weight
            total += weight * abs(promised - found)
    return total / sum(weights)


weighted = st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 5)), min_size=1, max_size=20)


@given(weighted, weighted, st.floats(0.01, 0.99), st.integers(1, 20))
def test_calibration_error_agrees_with_a_loop(genuine, impostor, prior, bins):
    (ours, weights), (others, other_weights) = (
        zip(*each, strict=True) for each in (genuine, impostor)
    )
    promises = Promises(ours, others, prior, bins=bins)
    same = [1] * len(ours) + [0] * len(others)
    alone = [*pair_weights(len(ours), len(others), prior)]
    assert promises.error() == pytest.approx(slow_ece(ours + others, same, alone, bins), abs=1e-12)
    given_ones = [prior * weight / sum(weights) for weight in weights]
    given_ones += [(1 - prior) * weight / sum(other_weights) for weight in other_weights]
    assert promises.error(weights, other_weights) == pytest.approx(
        slow_ece(ours + others, same, given_ones, bins), abs=1e-12
    )


def test_calibration_error_by_hand():
    # Fifteen bins: 0.95 and 1.0 share the last; 0.1 is alone.
    found = Promises([0.95], [1.0, 0.1], prior=1 / 3).error()
    assert found == pytest.approx((2 * abs(0.975 - 0.5) + 0.1) / 3)
    assert Promises([1.0], [0.0], prior=0.5).error() == 0
    # 13.65 and 14.25 fifteenths; of ten bins they would share one.
    assert Promises([0.91], [0.95], prior=0.5).error() == pytest.approx((0.09 + 0.95) / 2)


def test_pair_weights_give_genuine_pairs_the_prior():
    weights = pair_weights(2, 8, 0.1)
    assert weights.sum() == pytest.approx(1)
    assert weights[:2].sum() == pytest.approx(0.1)
    assert len(set(weights[2:])) == 1
