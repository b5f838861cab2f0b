"""The table of thresholds."""

from dataclasses import replace

import numpy as np
import pytest

from model_store.metric import Metric
from tests.training.scored import scored
from training.evaluation.metrics import rates_at
from training.report.thresholds import few_classes, wanted_rates


def test_by_hand():
    # Ten impostors at 0.0 … 0.9; the genuine pairs at 0.85 and 0.95.
    pairs = scored([0.85, 0.95], [n / 10 for n in range(10)])
    first, second = wanted_rates(pairs, targets=(0.1, 0.05))
    assert (first.far, first.frr) == (0.1, 0.0)
    assert first.threshold == pytest.approx((0.8 + 0.85) / 2)
    assert (second.far, second.frr) == (0.0, 0.5)
    assert second.threshold == pytest.approx((0.9 + 0.95) / 2)


@pytest.mark.parametrize("metric", [Metric.COSINE_SIMILARITY, Metric.EUCLIDEAN_DISSIMILARITY])
def test_threshold_and_rates_go_together_and_lie_in_their_intervals(metric):
    generator = np.random.default_rng(0)
    sign = 1 if metric.higher_is_alike else -1
    genuine, impostor = generator.normal(sign * 2, 1, 300), generator.normal(0, 1, 4_000)
    pairs = scored(
        genuine,
        impostor,
        metric=metric,
        genuine_class=[n % 30 for n in range(300)],
        impostor_classes=[(n % 30, (n * 7 + 1 + n // 30) % 30) for n in range(4_000)],
    )
    for entry in wanted_rates(pairs):
        point = rates_at(sign * genuine, sign * impostor, sign * entry.threshold)
        assert (point.far, point.frr) == (entry.far, entry.frr)
        assert entry.far <= entry.target
        assert entry.far_interval[0] <= entry.far <= entry.far_interval[1]
        assert entry.frr_interval[0] <= entry.frr <= entry.frr_interval[1]


@pytest.mark.parametrize(
    ("impostors", "told", "said"),
    [
        (299, False, "too few"),
        (300, True, "1,000 would be reliable"),
        (999, True, "few"),
        (1000, True, ""),
    ],
)
def test_says_when_the_pairs_are_too_few(impostors, told, said):
    (entry,) = wanted_rates(scored([1.0], np.linspace(0, 0.9, impostors)), targets=(0.01,))
    assert entry.told is told
    assert said in entry.advice
    assert bool(entry.advice) is bool(said)


def test_tells_how_many_are_needed():
    (entry,) = wanted_rates(scored([1.0], [0.0, 0.5]), targets=(0.001,))
    assert "3,000 are needed" in entry.advice
    assert "10,000 to rely" in entry.advice


@pytest.mark.parametrize("impostors", [100, 400])
def test_of_a_sample_more_can_be_taken(impostors):
    pairs = scored([1.0], np.linspace(0, 0.9, impostors))
    whole = pairs.impostor_pairs
    # Of classes that were never left out together no pair can be scored, whatever the limit.
    crossed = replace(pairs, impostor_pairs=replace(whole, coverage="sample"))
    sample = replace(pairs, impostor_pairs=replace(whole, coverage="sample", limited=True))
    told = [wanted_rates(each, targets=(0.01,))[0].advice for each in (pairs, crossed, sample)]
    assert told[1] == told[0]
    assert "--max-impostors" not in told[0]
    assert "--max-impostors takes more" in told[2]
    assert "data are too few" not in told[2]


def test_few_classes_are_told():
    assert "1 class says little" in few_classes(scored([1.0], [0.0])), "only one has pairs"
    many = scored([1.0] * 20, [0.0], genuine_class=list(range(20)))
    assert few_classes(many) == ""
