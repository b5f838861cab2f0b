import math
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from training.evaluation import intervals
from training.evaluation.intervals import (
    bootstrap_by_class,
    bootstrap_mean,
    clopper_pearson,
    hull,
    rate_in_classes,
    rate_of_others,
    with_exact,
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
    values = np.random.default_rng(0).random(size=2000)
    low, high = bootstrap_mean(values, seed=1)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.003)
    assert high == pytest.approx(values.mean() + half, abs=0.003)


def test_values_of_one_unit_count_as_one():
    per_class = np.random.default_rng(0).random(30)
    alone = bootstrap_mean(per_class, seed=0)
    repeated = bootstrap_mean(np.repeat(per_class, 50), np.repeat(np.arange(30), 50), seed=0)
    assert repeated == pytest.approx(alone)
    naive = bootstrap_mean(np.repeat(per_class, 50), seed=0)
    assert naive[1] - naive[0] < (alone[1] - alone[0]) / 3


def test_the_mean_of_units_of_many_sizes_agrees_with_a_loop():
    """Each draw's mean is over all values of the units drawn, large units weighing more."""
    generator = np.random.default_rng(0)
    units = np.repeat([4, 7, 9, 12], [1, 2, 5, 20])
    values = (generator.random(len(units)) + units) / 13
    drawing, means = np.random.default_rng(6), []
    for _ in range(250):
        drawn = np.array([4, 7, 9, 12])[drawing.integers(0, 4, size=4)]
        means.append(np.mean([v for unit in drawn for v in values[units == unit]]))
    found = bootstrap_mean(values, units, seed=6, replicates=250)
    low, high = np.percentile(means, [2.5, 97.5])
    # Of four units: Student's 3.182 for three degrees of freedom, in place of 1.960.
    mean, wider = values.mean(), math.sqrt(4 / 3) * 3.18245 / 1.95996
    wanted = hull((mean, mean), (mean + wider * (low - mean), mean + wider * (high - mean)))
    assert found == pytest.approx(np.clip(wanted, 0, 1), abs=1e-5)


@pytest.mark.parametrize("classes", [3, 6, 20])
def test_a_share_of_few_classes_lies_where_it_is_said_to(classes):
    """Each class has a share of its own, of which the mean is two thirds."""
    generator = np.random.default_rng(1)
    units = np.repeat(np.arange(classes), 60)
    inside = []
    for _ in range(200):
        own = generator.beta(4, 2, size=classes)
        right = generator.random(len(units)) < own[units]
        low, high = bootstrap_mean(right, units, seed=0, replicates=200)
        inside.append(low <= 2 / 3 <= high)
    assert np.mean(inside) >= 0.9


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


def test_figures_of_weights_are_given_those_of_each_draw():
    """The share of the genuine in what is drawn, times ½ that it stays clear of 1."""
    genuine, impostor, genuine_class, impostor_classes = made_up(6)

    def share(ours, others):
        return ours.sum() / (ours.sum() + others.sum()) / 2

    found = bootstrap_by_class(
        Ranking(genuine, impostor),
        genuine_class,
        impostor_classes,
        {},
        weighted={"share": share},
        seed=3,
        replicates=40,
    )
    generator, values = np.random.default_rng(3), []
    for _ in range(40):
        drawn = (generator.integers(0, 6, size=6) * 3).tolist()
        ours = sum(drawn.count(c) for c in genuine_class)
        others = sum(drawn.count(a) * drawn.count(b) for a, b in impostor_classes)
        values.append(ours / (ours + others) / 2)
    low, high = np.percentile(values, [2.5, 97.5])
    own, wider = 24 / (24 + 30) / 2, math.sqrt(6 / 5) * 2.5706 / 1.95996
    wanted = hull((own, own), (own + wider * (low - own), own + wider * (high - own)))
    assert found["share"] == pytest.approx(wanted, abs=1e-4)


def test_an_interval_is_stretched_away_from_the_figure_and_stays_one_of_shares():
    """From 0.5 twice as far as 0.6 and 0.8 are 0.7 and 1.1; it holds all three, and ends at 1."""
    assert intervals._widened((0.6, 0.8), 0.5, 2) == (0.5, 1)
    assert intervals._widened((0.2, 0.4), 0.5, 2) == (0, 0.5)


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


def test_classes_without_genuine_pairs_add_no_certainty():
    """Three classes and sixty of a single image are stretched as three are, not as sixty-three."""
    genuine, impostor, genuine_class, impostor_classes = made_up(3)
    singles = np.array([(3 * n, 100 + m) for n in range(3) for m in range(60)])
    more = np.random.default_rng(1).normal(-1, 1, size=len(singles))
    ranking = Ranking(genuine, np.concatenate([impostor, more]))
    classes = np.concatenate([impostor_classes, singles])
    figures = {"auc": Roc.auc}
    (low, _) = bootstrap_by_class(ranking, genuine_class, classes, figures, seed=0)["auc"]
    drawn, _ = slow_bootstrap(
        genuine, np.concatenate([impostor, more]), genuine_class, classes, Roc.auc, 0, 200
    )
    # Of three: Student's 4.303 for two degrees of freedom, in place of 1.960.
    wider, own = math.sqrt(3 / 2) * 4.30265 / 1.95996, ranking.roc().auc()
    assert low == pytest.approx(own + wider * (drawn - own), abs=1e-4)
    one = np.zeros(len(genuine_class), dtype=np.int64)
    assert bootstrap_by_class(ranking, one, classes, figures, seed=0) == {}, "of one, none is told"


def test_where_most_draws_lack_a_kind_of_pair_there_is_no_interval():
    """All three classes are drawn in 6 of 27 draws."""
    found = bootstrap_by_class(
        Ranking([1.0], [0.0]), np.array([0]), np.array([[1, 2]]), {"auc": Roc.auc}, seed=0
    )
    assert found == {}


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


@pytest.mark.parametrize("at_once", [1 << 18, 50, 1])
@pytest.mark.parametrize("shape", [(300, 2), (300,)])
def test_draws_agree_with_a_loop_however_many_are_made_at_once(shape, at_once, monkeypatch):
    monkeypatch.setattr(intervals, "_DRAWN_AT_ONCE", at_once)
    generator = np.random.default_rng(0)
    units = generator.integers(0, 7, size=shape) + 5
    wrong = generator.random(300) < 0.2
    numbered = units - units.min()
    errors, pairs = intervals._drawn(wrong, numbered, np.random.default_rng(3), 40)
    slow_errors, slow_pairs = drawn_by_a_loop(wrong, units, 3, 40)
    assert errors.tolist() == slow_errors
    assert pairs.tolist() == slow_pairs


@pytest.mark.parametrize("rate", [0.02, 0.5, 0.97])
def test_the_rate_of_others_agrees_with_a_loop(rate):
    generator = np.random.default_rng(1)
    units = generator.integers(0, 5, size=(200, 2)) + 3
    wrong = generator.random(200) < rate
    errors, pairs = (np.array(each) for each in drawn_by_a_loop(wrong, units, 4, 120))
    roots = np.sqrt(errors / pairs)
    low, high = np.percentile(roots[:60] - roots[60:], [2.5, 97.5])
    # Of five units: Student's 2.776 for four degrees of freedom, in place of 1.960.
    wider, root = math.sqrt(5 / 4) * 2.77645 / 1.95996, math.sqrt(wrong.mean())
    exact = clopper_pearson(int(wrong.sum()), 200)
    wanted = (
        min(exact[0], max(0, root + wider * low) ** 2),
        max(exact[1], min(1, root + wider * high) ** 2),
    )
    assert rate_of_others(wrong, units, seed=4, replicates=60) == pytest.approx(wanted, abs=1e-5)


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


def test_many_classes_take_little_memory():
    """Draws × classes are 48 MB in float64, and were eight times in memory."""
    generator = np.random.default_rng(0)
    units = generator.integers(0, 3000, size=(6000, 2))
    tracemalloc.start()
    try:
        rate_of_others(generator.random(6000) < 0.01, units, seed=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24e6


def test_few_pairs_without_an_error_promise_little():
    none = np.zeros(9, dtype=bool)
    low, high = rate_of_others(none, np.array([[0, 1], [0, 2], [1, 2]] * 3), seed=0)
    assert (low, high) == (0, pytest.approx(clopper_pearson(0, 9)[1]))
    assert rate_of_others(none, np.full(9, 4), seed=0) == (0.0, 1.0), "nor does one class"
    # Each of two classes is in three draws of four, and both are in half.
    two = np.array([[0, 1]] * 9)
    assert rate_of_others(none, two, seed=0) == (0.0, 1.0), "nor do two, which half the draws lack"


def test_errors_of_a_class_count_as_those_of_one_class():
    classes = np.repeat([3, 5, 8, 9], 10)
    none = np.zeros(40, dtype=bool)
    assert rate_in_classes(none, classes) == clopper_pearson(0, 4)
    # One class of four with errors, in half of its pairs; with one more that has nothing else, 15
    # of 20.
    half = np.arange(40) >= 35
    low, high = clopper_pearson(1, 4)
    assert rate_in_classes(half, classes) == pytest.approx((low / 2, high * 15 / 20))
    assert rate_in_classes(~none, classes) == clopper_pearson(4, 4)
    # Of 10, 20 and 30 pairs one more class has 20.
    three = np.arange(60) < 3
    low, high = clopper_pearson(1, 3)
    sizes = np.repeat([0, 1, 2], [10, 20, 30])
    assert rate_in_classes(three, sizes) == pytest.approx((low * 3 / 10, high * 23 / 30))


def test_where_errors_are_in_all_of_many_classes_those_say_how_many_there_are():
    classes = np.repeat(np.arange(200), 10)
    low, high = rate_in_classes(np.arange(2000) % 2 == 0, classes)
    assert 0.49 < low < 0.5 < high < 0.51


def test_what_was_always_right_is_not_so_for_certain():
    assert with_exact((1.0, 1.0), 1.0, 10) == clopper_pearson(10, 10)
    assert with_exact((0.0, 0.0), 0.0, 10) == clopper_pearson(0, 10)
    assert with_exact((0.2, 0.9), 0.5, 10) == (clopper_pearson(5, 10)[0], 0.9)
    # Half a hit lies between none and one.
    none, half, one = (clopper_pearson(hits, 10)[1] for hits in (0, 0.5, 1))
    assert none < half < one


def test_the_hull_holds_all():
    assert hull((0.1, 0.3), (0.2, 0.5)) == (0.1, 0.5)


def test_parts_of_an_error_count_as_parts():
    low, high = clopper_pearson(0.5, 10)
    assert 0 < low < 0.05 < high
    assert with_exact((0.5, 0.5), 0.45, 10) == hull((0.5, 0.5), clopper_pearson(4.5, 10))
