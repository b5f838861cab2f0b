import json
from dataclasses import replace

import numpy as np
import pytest

from model_store.calibration import Calibration, LogisticCurve
from tests.training import small
from tests.training.calibration.clouds import clouds
from tests.training.scored import verification
from tests.training.trees import embedded
from training.evaluation.intervals import REPLICATES, clopper_pearson
from training.evaluation.metrics import Promises
from training.evaluation.pairs import score_folder
from training.evaluation.protocols.verification import (
    probability_error,
    rates_intervals,
    verification_figures,
)

CALIBRATION = Calibration(
    curve=LogisticCurve(slope=2, intercept=1),
    prior=0.5,
    threshold=0.6,
    target_far=0.1,
    far=0.1,
    far_interval=(0, 1),
    frr=0.1,
    frr_interval=(0, 1),
    classes=2,
    genuine_pairs=1,
    impostor_pairs=1,
    data="by hand",
)


def near(classes=12, images=5, spread=0.3, **options):
    """Clouds that are mostly apart."""
    return clouds(classes, images, spread, **options)


def on_a_line():
    """Distances: genuine 0.5, 1, 1.5 (class a) and 1 (class b); impostors 3 to 5.5."""
    places = [0, 0.5, 1.5, 4.5, 5.5]
    return embedded([[place, *[0] * 7] for place in places], "aaabb")


def test_figures_by_hand():
    found = verification(on_a_line(), small.network("euclidean"), calibration=CALIBRATION)
    assert (found.pairs, found.genuine_pairs, found.impostor_pairs) == (10, 4, 6)
    assert (found.images, found.classes) == (5, 2)
    assert (found.genuine, found.impostors) == ("exhaustive", "exhaustive")
    assert (found.auc, found.eer, found.accuracy) == (1, 0, 1)
    # Halfway between the largest genuine distance (1.5) and the smallest impostor (3).
    assert found.accuracy_threshold == pytest.approx(2.25)
    assert found.frr_at_far == {"0.10": 0, "0.05": 0, "0.01": 0}
    # Of the genuine distances, only 0.5 is within 0.6.
    assert found.at_threshold.far == 0
    assert found.at_threshold.frr == 0.75
    assert found.at_threshold.accuracy == 0.625
    # P(same) = σ(1 − 2·distance); the ECE under prior ½, computed bin by bin.
    distances = np.array([0.5, 1, 1.5, 1, 4.5, 5.5, 4, 5, 3, 4])
    same = np.arange(10) < 4
    weights = np.where(same, 0.5 / 4, 0.5 / 6)
    promised = 1 / (1 + np.exp(2 * distances - 1))
    error = sum(
        abs(np.sum(((promised - same) * weights)[(promised * 15).astype(int) == number]))
        for number in range(15)
    )
    assert found.calibration_error == pytest.approx(error, abs=1e-6)


def test_where_no_error_was_seen_as_many_images_as_there_are_leave_room_for_some():
    images = near(classes=12, images=5, spread=0.01)
    found = verification(images, small.network("euclidean"))
    # Ten pairs of each class, of which four have no first image in common.
    assert found.frr_at_far == {"0.10": 0, "0.05": 0, "0.01": 0}
    wanted = clopper_pearson(0, 12 * 4)
    assert set(found.frr_at_far_interval.values()) == {wanted}
    assert found.eer_interval == wanted
    assert found.auc_interval == found.accuracy_interval == clopper_pearson(12 * 4, 12 * 4)
    # Each of 60 photos with the one picture of its class; the side that has more of them asks.
    shop = near(classes=12, images=1, spread=0.01, source="shop")
    found = verification(images, small.network("euclidean"), right=shop)
    assert found.genuine_pairs == 60
    assert found.frr_at_far_interval["0.10"] == clopper_pearson(0, 60)


def test_one_error_leaves_no_more_certainty_than_none():
    pairs = score_folder(small.network("euclidean"), near(classes=12, images=5, spread=0.01))
    none = verification_figures(pairs)
    one = verification_figures(
        replace(pairs, genuine=np.append(pairs.genuine[1:], pairs.impostor.min() + 0.01))
    )
    assert 0.999 < one.auc < none.auc
    for width in ("auc_interval", "accuracy_interval", "eer_interval"):
        low, high = getattr(one, width)
        before = getattr(none, width)
        assert high - low > before[1] - before[0]


def test_without_calibration_there_is_no_calibration_error():
    found = verification(near(), small.network("euclidean"))
    assert found.calibration_error is None
    assert found.at_threshold is None


@pytest.mark.parametrize("comparator", ["euclidean", "cosine", "absolute-difference-sigmoid"])
def test_every_metric_has_its_figures_inside_their_intervals(comparator):
    found = verification(near(spread=0.8), small.network(comparator), calibration=CALIBRATION)
    for figure, interval in (
        (found.auc, found.auc_interval),
        (found.eer, found.eer_interval),
        (found.at_threshold.far, found.at_threshold.far_interval),
        (found.at_threshold.frr, found.at_threshold.frr_interval),
        (found.at_threshold.accuracy, found.at_threshold.accuracy_interval),
        (found.accuracy, found.accuracy_interval),
    ):
        assert interval[0] <= figure <= interval[1]
    rates = [found.frr_at_far[far] for far in ("0.10", "0.05", "0.01")]
    assert rates == sorted(rates)
    again = json.loads(json.dumps(found.to_json()))
    assert again["frr_at_far"]["0.01"] == rates[-1]


@pytest.mark.parametrize("prior", [0.5, 0.2])
def test_intervals_of_the_calibration_agree_with_a_loop(prior):
    """Pairs are copied as often as their classes are drawn, and scores counted anew."""
    network = small.network("euclidean")
    scored = score_folder(network, near(classes=6, images=3, spread=0.8))
    calibration = CALIBRATION.model_copy(update={"prior": prior, "threshold": 3.5})
    found = verification_figures(scored, calibration=calibration, seed=4)
    names = np.union1d(scored.genuine_class, scored.impostor_classes)
    generator = np.random.default_rng(4)
    errors, accuracies = [], []
    for _ in range(REPLICATES):
        drawn = names[generator.integers(0, len(names), size=len(names))].tolist()
        ours = [drawn.count(name) for name in scored.genuine_class]
        others = [drawn.count(a) * drawn.count(b) for a, b in scored.impostor_classes]
        if not any(ours) or not any(others):
            continue
        genuine, impostor = np.repeat(scored.genuine, ours), np.repeat(scored.impostor, others)
        promised = [
            calibration.probability(scores, scored.metric) for scores in (genuine, impostor)
        ]
        errors.append(Promises(*promised, prior).error())
        accuracies.append((np.mean(genuine <= 3.5) + np.mean(impostor > 3.5)) / 2)
    # Of six classes: Student's 2.571 for five degrees of freedom, in place of 1.960.
    wider = np.sqrt(6 / 5) * 2.5706 / 1.95996
    for values, value, interval in (
        (errors, found.calibration_error, found.calibration_error_interval),
        (accuracies, found.at_threshold.accuracy, found.at_threshold.accuracy_interval),
    ):
        low, high = np.percentile(values, [2.5, 97.5])
        wanted = [value + wider * (end - value) for end in (low, high)]
        if values is accuracies:
            # Twelve genuine pairs of three images in six classes, of which no two begin with one.
            exact = clopper_pearson(value * 12, 12)
            wanted = [min(wanted[0], exact[0]), max(wanted[1], exact[1])]
        assert interval == pytest.approx((min(low, wanted[0]), max(high, wanted[1])), abs=1e-4)


def test_a_sample_is_called_one_and_comes_out_the_same_again():
    network = small.network("euclidean")
    found = verification(near(), network, max_impostors=100, seed=4)
    assert (found.impostors, found.impostor_pairs) == ("sample", 100)
    assert verification(near(), network, max_impostors=100, seed=4) == found
    assert verification(near(), network, max_impostors=100, seed=5) != found
    drawn = [score_folder(network, near(), seed=seed, max_impostors=100) for seed in (4, 5)]
    assert not np.array_equal(drawn[0].impostor, drawn[1].impostor)
    hard = near(spread=1.5)
    aucs = {verification(hard, network, max_impostors=100, seed=seed).auc for seed in (4, 5)}
    assert len(aucs) == 2


def test_a_true_probability_has_no_calibration_error_under_its_prior():
    """Scores drawn from the model that the curve describes."""
    generator = np.random.default_rng(0)
    scored = score_folder(small.network("cosine"), near())
    evidence = generator.uniform(-3, 3, size=200_000)
    same = generator.random(len(evidence)) < 1 / (1 + np.exp(-(2 * evidence + 1)))
    object.__setattr__(scored, "genuine", evidence[same])
    object.__setattr__(scored, "impostor", evidence[~same])
    prior = float(same.mean())
    right = CALIBRATION.model_copy(update={"prior": prior})
    assert probability_error(scored, right) < 0.004
    assert probability_error(scored, right.model_copy(update={"prior": prior / 3})) > 0.1


def test_rates_at_a_threshold_vary_with_the_classes_drawn():
    scored = score_folder(small.network("euclidean"), near(spread=0.8))
    far, frr = rates_intervals(scored, threshold=-2.0, seed=0)
    assert far[0] <= np.mean(scored.impostor <= 2.0) <= far[1]
    assert frr[0] <= np.mean(scored.genuine > 2.0) <= frr[1]
    (none, few), (most, all_of_them) = rates_intervals(scored, threshold=1.0, seed=0)
    assert (none, all_of_them) == (0, 1)
    assert few < 0.01
    # Of twelve classes, not of their 120 pairs.
    assert most == pytest.approx(clopper_pearson(12, 12)[0], abs=0.01)


def test_rates_of_a_few_groups_are_less_certain_than_those_of_their_classes():
    pairs = score_folder(small.network("euclidean"), near(classes=12, spread=0.8))
    grouped = replace(pairs, group_of_class=np.arange(12) // 3)
    by_class, by_group = (rates_intervals(each, -2.0, 0)[0] for each in (pairs, grouped))
    assert by_group != by_class, "four groups can be drawn anew"
    assert by_group[0] <= by_class[0]
    assert by_class[1] <= by_group[1]
    few = replace(pairs, group_of_class=np.arange(12) // 4)
    assert rates_intervals(few, -2.0, 0)[0] == by_class, "three alphabets cannot be drawn anew"


def test_false_rejects_come_together_in_classes_whatever_groups_these_are_of():
    pairs = score_folder(small.network("euclidean"), near(classes=12))
    grouped = replace(pairs, group_of_class=np.arange(12) // 3)
    _, frr = rates_intervals(grouped, threshold=-1000.0, seed=0)
    assert frr == pytest.approx(clopper_pearson(0, 12))


def test_false_rejects_of_others_lie_where_they_are_expected_though_errors_are_rare():
    """One class of twenty is rejected in three of ten pairs; many draws of classes have none."""
    pairs = score_folder(small.network("euclidean"), near(classes=20, images=10), max_impostors=50)
    generator = np.random.default_rng(0)

    def distances():
        bad = generator.random(20)[pairs.genuine_class] < 0.05
        return np.where(bad & (generator.random(len(bad)) < 0.3), 3.0, 1.0)

    inside = []
    for _ in range(60):
        here = replace(pairs, genuine=distances())
        _, (low, high) = rates_intervals(here, threshold=-2.0, seed=0)
        inside.append(low <= np.mean(distances() > 2) <= high)
    assert np.mean(inside) >= 0.93


def test_a_pair_at_the_threshold_is_called_the_same_in_every_figure():
    scored = score_folder(small.network("euclidean"), near(classes=6, images=3, spread=0.8))
    for rate, distances in enumerate((scored.impostor, scored.genuine)):
        distance = np.sort(distances)[len(distances) // 2]
        at_it, beyond, before = (
            rates_intervals(scored, -(distance + more), 0)[rate] for more in (0, 1e-9, -1e-9)
        )
        assert at_it == beyond != before
    found = []
    for threshold in (float(scored.genuine[5]), float(scored.genuine[5]) + 1e-9):
        calibration = CALIBRATION.model_copy(update={"threshold": threshold})
        found.append(verification_figures(scored, calibration=calibration).at_threshold)
    assert found[0].accuracy_interval == found[1].accuracy_interval
    assert found[0].accuracy == found[1].accuracy
