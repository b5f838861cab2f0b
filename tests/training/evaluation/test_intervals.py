import math

import numpy as np
import pytest
from scipy import stats

from training.evaluation import intervals
from training.evaluation.intervals import (
    bootstrap_by_class,
    bootstrap_mean,
    clopper_pearson,
    hull,
    rate_of_others,
)
from training.evaluation.metrics import Ranking, Roc


def test_clopper_pearson_against_tables():
    assert clopper_pearson(0, 10) == (0.0, pytest.approx(0.3085, abs=1e-4))
    assert clopper_pearson(10, 10) == (pytest.approx(0.6915, abs=1e-4), 1.0)
    # Rule of three: not one in n, so at most about 3.7 / n (two-sided).
    assert clopper_pearson(0, 1000)[1] == pytest.approx(3.68 / 1000, rel=0.01)


@pytest.mark.parametrize(("hits", "trials"), [(1, 20), (7, 20), (19, 20), (388, 400)])
def test_clopper_pearson_leaves_a_fortieth_on_either_side(hits, trials):
    low, high = clopper_pearson(hits, trials)
    assert stats.binom.sf(hits - 1, trials, low) == pytest.approx(0.025)
    assert stats.binom.cdf(hits, trials, high) == pytest.approx(0.025)


def test_the_mean_of_independent_values_has_the_textbook_interval():
    values = np.random.default_rng(0).normal(5, 2, size=2000)
    low, high = bootstrap_mean(values, seed=1)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)


def test_values_of_one_unit_count_as_one():
    per_class = np.random.default_rng(0).random(30)
    alone = bootstrap_mean(per_class, seed=0)
    repeated = bootstrap_mean(np.repeat(per_class, 50), np.repeat(np.arange(30), 50), seed=0)
    assert repeated == pytest.approx(alone)
    naive = bootstrap_mean(np.repeat(per_class, 50), seed=0)
    assert naive[1] - naive[0] < (alone[1] - alone[0]) / 3


def test_a_single_unit_says_nothing_of_others():
    assert bootstrap_mean([0.2, 0.4], np.array([3, 3]), seed=0) == (0.0, 1.0)


def slow_bootstrap(genuine, impostor, genuine_class, impostor_classes, figure, seed, replicates):
    """Copies every pair as often as its classes were drawn, and starts from scores each time."""
    names = np.unique(np.concatenate([genuine_class, impostor_classes.ravel()]))
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(replicates):
        drawn = names[generator.integers(0, len(names), size=len(names))].tolist()
        ours = [
            s for s, c in zip(genuine, genuine_class, strict=True) for _ in range(drawn.count(c))
        ]
        others = [
            s
            for s, (a, b) in zip(impostor, impostor_classes, strict=True)
            for _ in range(drawn.count(a) * drawn.count(b))
        ]
        if ours and others:
            values.append(figure(Ranking(ours, others).roc()))
    return np.percentile(values, [2.5, 97.5])


def made_up(classes, seed=0):
    generator = np.random.default_rng(seed)
    genuine_class = np.repeat(np.arange(classes) * 3, 4)
    pairs = [(a * 3, b * 3) for a in range(classes) for b in range(a)]
    impostor_classes = np.array(pairs * 2)
    hardness = generator.normal(0, 0.5, size=classes * 3)
    genuine = generator.normal(1, 1, size=len(genuine_class)) - hardness[genuine_class]
    impostor = generator.normal(-1, 1, size=len(impostor_classes))
    return genuine.round(1), impostor.round(1), genuine_class, impostor_classes


def test_classes_drawn_anew_agree_with_a_loop():
    genuine, impostor, genuine_class, impostor_classes = made_up(6)
    figures = {"auc": Roc.auc, "eer": Roc.eer, "frr": lambda drawn: drawn.at_far(0.1).frr}
    found = bootstrap_by_class(
        Ranking(genuine, impostor), genuine_class, impostor_classes, figures, seed=3, replicates=40
    )
    for name, figure in figures.items():
        low, high = slow_bootstrap(
            genuine, impostor, genuine_class, impostor_classes, figure, 3, 40
        )
        # Of six classes: Student's 2.571 for five degrees of freedom, in place of 1.960.
        wider = math.sqrt(6 / 5) * 2.5706 / 1.95996
        own = figure(Ranking(genuine, impostor).roc())
        wanted = (max(0, own - wider * (own - low)), min(1, own + wider * (high - own)))
        assert found[name] == pytest.approx(wanted, abs=1e-4)


def test_the_interval_holds_the_figure_and_narrows_with_classes():
    widths = []
    for classes in (8, 60):
        genuine, impostor, genuine_class, impostor_classes = made_up(classes)
        ranking = Ranking(genuine, impostor)
        low, high = bootstrap_by_class(
            ranking, genuine_class, impostor_classes, {"auc": Roc.auc}, seed=0
        )["auc"]
        assert low <= ranking.roc().auc() <= high
        widths.append(high - low)
    assert widths[1] < widths[0]


def test_of_two_classes_too_few_draws_hold_both_kinds_to_say_nothing_at_all():
    found = bootstrap_by_class(
        Ranking([1.0], [0.0]), np.array([0]), np.array([[0, 1]]), {"auc": Roc.auc}, seed=0
    )
    # About half of the draws hold both classes: an interval, or none, but never an error.
    assert found in ({}, {"auc": (1.0, 1.0)})


def drawn_by_a_loop(wrong, units, seed, replicates):
    """Errors and pairs of draws: a pair of two units as often as both, one within a unit as it."""
    names = np.unique(units)
    generator = np.random.default_rng(seed)
    errors, pairs = [], []
    for row in generator.integers(0, len(names), size=(replicates, len(names))):
        drawn = names[row].tolist()
        times = [
            math.prod(drawn.count(unit) for unit in set(np.atleast_1d(pair).tolist()))
            for pair in units
        ]
        errors.append(sum(count for count, bad in zip(times, wrong, strict=True) if bad))
        pairs.append(sum(times))
    return errors, pairs


@pytest.mark.parametrize("shape", [(300, 2), (300,)])
def test_draws_agree_with_a_loop(shape):
    generator = np.random.default_rng(0)
    units = generator.integers(0, 7, size=shape) + 5
    wrong = generator.random(300) < 0.2
    numbered = units - units.min()
    errors, pairs = intervals._drawn(wrong, numbered, np.random.default_rng(3), 40)
    slow_errors, slow_pairs = drawn_by_a_loop(wrong, units, 3, 40)
    assert errors.tolist() == slow_errors
    assert pairs.tolist() == slow_pairs


def test_the_rate_of_other_groups_lies_where_it_is_expected():
    generator = np.random.default_rng(0)

    def rates(groups):
        """Errors of 400 pairs in each of some groups, whose rates differ twofold and more."""
        own = 0.02 * np.exp(0.5 * generator.normal(size=groups))
        return np.repeat(np.arange(groups), 400), generator.random(400 * groups) < np.repeat(
            own, 400
        )

    inside = []
    for _ in range(200):
        groups, wrong = rates(5)
        low, high = rate_of_others(wrong, groups, seed=1, replicates=200)
        inside.append(low <= rates(5)[1].mean() <= high)
    assert np.mean(inside) >= 0.93


def test_few_pairs_without_an_error_promise_little():
    none = np.zeros(9, dtype=bool)
    low, high = rate_of_others(none, np.array([[0, 1], [0, 2], [1, 2]] * 3), seed=0)
    assert (low, high) == (0, pytest.approx(clopper_pearson(0, 9)[1]))
    assert rate_of_others(none, np.full(9, 4), seed=0) == (0.0, 1.0), "nor does one class"


def test_the_hull_holds_all():
    assert hull((0.1, 0.3), (0.2, 0.5)) == (0.1, 0.5)
