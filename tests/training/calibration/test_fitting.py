"""Curves from scores to probabilities, fitted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from tests.training.calibration.clouds import bent
from training.calibration.choosing import METHODS
from training.calibration.fitting import Evidence, fit_beta, fit_isotonic, fit_logistic


@pytest.mark.parametrize("prior", [0.5, 0.1])
@pytest.mark.parametrize("shift", [0.5, 3.0, 100.0])
def test_the_fit_agrees_with_scikit_learn(prior, shift):
    generator = np.random.default_rng(0)
    genuine = shift + generator.normal(1.5, 1, size=3000)
    impostor = shift + generator.normal(0, 1, size=7000)
    curve = fit_logistic(genuine, impostor, prior=prior)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        np.concatenate([genuine, impostor])[:, None] - shift,
        np.arange(10_000) < 3000,
        sample_weight=np.repeat([prior / 3000 * 1e4, (1 - prior) / 7000 * 1e4], [3000, 7000]),
    )
    # Platt's targets are not quite 0 and 1.
    assert curve.slope == pytest.approx(theirs.coef_[0, 0], rel=0.01)
    assert curve.intercept + curve.slope * shift == pytest.approx(theirs.intercept_[0], abs=0.02)


def test_the_fit_finds_the_curve_that_made_the_data():
    generator = np.random.default_rng(1)
    values = generator.uniform(-3, 3, size=400_000)
    same = generator.random(len(values)) < 1 / (1 + np.exp(-(2 * values - 1)))
    curve = fit_logistic(values[same], values[~same], prior=float(same.mean()))
    assert curve.slope == pytest.approx(2, abs=0.03)
    assert curve.intercept == pytest.approx(-1, abs=0.03)


@given(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20),
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20),
    st.floats(0.01, 0.99),
)
def test_any_scores_give_curves_that_never_fall(genuine, impostor, prior):
    for fit in METHODS.values():
        probability = fit(genuine, impostor, prior=prior).probability(
            sorted([-2e4, *genuine, *impostor, 2e4])
        )
        assert ((probability > 0) & (probability < 1)).all()
        assert (np.diff(probability) >= 0).all()


@pytest.mark.parametrize("fit", [fit_logistic, fit_beta])
@pytest.mark.parametrize(
    ("pairs", "prior", "tolerance"),
    [((50, 1125), 0.5, 0.5), ((50, 1125), 0.01, 0.5), ((200, 20_000), 0.001, 0.2)],
)
def test_a_small_prior_gives_the_posterior_that_goes_with_it(fit, pairs, prior, tolerance):
    """Scores are N(2, 1) and N(−2, 1), so that the log-odds at 0 are the prior's own.

    Targets that assume a prior of 1/2 bring them out too high by 1.0 at 0.01, by 0.7 at 0.001.
    """
    generator = np.random.default_rng(1)
    genuine, impostor = (
        generator.normal(mean, 1, n) for mean, n in zip((2, -2), pairs, strict=True)
    )
    found = fit(genuine, impostor, prior=prior).probability(0.0)
    truth = np.log(prior / (1 - prior))
    assert np.log(found / (1 - found)) == pytest.approx(truth, abs=tolerance)


@pytest.mark.parametrize("count", [3, 7, 10, 100])
@pytest.mark.parametrize("value", [0.1, 0.3, 1 / 3, 0.7, np.log(0.3)])
def test_scores_that_are_all_the_same_give_the_prior_whatever_the_rounding(value, count):
    same = np.full(count, value), np.full(3 * count, value)
    for fit in (fit_logistic, fit_beta):
        assert fit(*same, prior=0.2) == Evidence.of(*same, 0.2).flat


def test_a_prior_of_a_half_has_the_targets_of_platt():
    genuine, impostor = np.random.default_rng(0).normal(size=7), np.zeros(12)
    target = Evidence.of(genuine, impostor, 0.5).target
    assert set(target[:7]) == {8 / 9}
    assert set(target[7:]) == {1 / 14}
    target = Evidence.of(genuine, impostor, 0.1).target
    assert set(target) == {7.2 / 9, 0.2 / 14}


def test_the_isotonic_fit_finds_a_bend_that_a_logistic_one_misses():
    genuine, impostor, prior = bent(np.random.default_rng(2), 200_000)
    at = np.array([-0.8, -0.4, 0.25, 0.5, 0.75])
    truth = 1 / (1 + np.exp(2 - 8 * np.maximum(at, 0)))
    assert fit_isotonic(genuine, impostor, prior=prior).probability(at) == pytest.approx(
        truth, abs=0.03
    )
    missed = fit_logistic(genuine, impostor, prior=prior).probability(at) - truth
    assert np.abs(missed).max() > 0.05


def test_the_isotonic_fit_by_hand():
    """Two of three at 1 are genuine, weighing 2/8 and 1/6; all else parts perfectly.

    Platt's targets of four and three pairs are 5/6 and 1/5.
    """
    curve = fit_isotonic([1.0, 1.0, 2.0, 2.0], [0.0, 0.0, 1.0])
    middle = (1 / 4 * 5 / 6 + 1 / 6 * 1 / 5) / (1 / 4 + 1 / 6)
    assert curve.evidence == (0, 1, 2)
    assert curve.probability([0.0, 1.0, 2.0]) == pytest.approx([1 / 5, middle, 5 / 6])


def test_equal_evidence_has_one_level_whatever_lies_beside_it():
    """Of forty pairs of either kind thirty lie apart and ten tie: half and half there."""
    curve = fit_isotonic([1.0] * 10 + [2.0] * 30, [0.0] * 30 + [1.0] * 10)
    # Platt's targets are 41/42 and 1/42.
    assert curve.evidence == (0, 1, 2)
    assert curve.probability([0.0, 1.0, 2.0]) == pytest.approx([1 / 42, 1 / 2, 41 / 42])


def test_levels_are_pooled_by_what_they_weigh():
    """8 of 20 are genuine at 0, 1 of 4 at 1, 4 of 11 at 2: 9 of 24 exceed 4 of 11, too.

    Were levels alike, 8/20 and 1/4 would give 0.325, and 4/11 stand alone.
    """
    genuine = np.repeat([0.0, 1.0, 2.0, 3.0], [8, 1, 4, 27])
    impostor = np.repeat([0.0, 1.0, 2.0, 3.0], [12, 3, 7, 18])
    curve = fit_isotonic(genuine, impostor)
    assert curve.evidence == pytest.approx((26 / 35, 3))
    shares = [(13 * 41 + 22) / (35 * 42), (27 * 41 + 18) / (45 * 42)]
    assert curve.probability(curve.evidence) == pytest.approx(shares)


def test_the_isotonic_fit_agrees_with_a_loop_that_pools_neighbours():
    generator = np.random.default_rng(0)
    genuine, impostor, prior = generator.normal(0.5, 1, 60), generator.normal(0, 1, 140), 0.2
    pairs = sorted(
        [(x, prior / 60, (60 + 0.4) / 62) for x in genuine]
        + [(x, 0.8 / 140, 0.4 / 142) for x in impostor]
    )
    levels = [[0.0, 0.0, 0.0] for _ in range(20)]
    total = 0.0
    for value, weight, target in pairs:
        total += weight
        level = levels[min(19, int(20 * total))]
        for at, part in enumerate((weight, weight * value, weight * target)):
            level[at] += part
    blocks = []
    for level in levels:
        blocks.append(level)
        while len(blocks) > 1 and blocks[-2][2] / blocks[-2][0] >= blocks[-1][2] / blocks[-1][0]:
            last = blocks.pop()
            blocks[-1] = [one + two for one, two in zip(blocks[-1], last, strict=True)]
    curve = fit_isotonic(genuine, impostor, prior=prior)
    assert 3 < len(blocks) < 20
    assert curve.evidence == pytest.approx([moment / mass for mass, moment, _ in blocks])
    shares = [found / mass for mass, _, found in blocks]
    assert curve.probability(curve.evidence) == pytest.approx(shares)


def test_the_beta_fit_agrees_with_scikit_learn():
    generator = np.random.default_rng(3)
    genuine, impostor = generator.beta(4, 2, size=3000), generator.beta(2, 3, size=7000)
    curve = fit_beta(genuine, impostor)
    share = (np.concatenate([genuine, impostor]) - curve.low) / (curve.high - curve.low)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=5000).fit(
        np.stack([np.log(share), -np.log1p(-share)], axis=1),
        np.arange(10_000) < 3000,
        sample_weight=np.repeat([5000 / 3000, 5000 / 7000], [3000, 7000]),
    )
    assert [curve.rise, curve.fall] == pytest.approx(theirs.coef_[0], rel=0.02)
    assert curve.intercept == pytest.approx(theirs.intercept_[0], abs=0.03)


def test_scores_that_part_perfectly_give_a_finite_curve():
    curve = fit_logistic([2.0, 3.0], [-1.0, 0.0])
    # The targets of two and two are 3/4 and 1/4: no probability is beyond what so few pairs show.
    assert 0.1 < curve.probability(-1.0) < 0.4 < 0.6 < curve.probability(3.0) < 0.9


@pytest.mark.parametrize("fit", [fit_logistic, fit_beta])
@pytest.mark.parametrize(("genuine", "impostor"), [([0.0, 1.0], [5.0, 6.0]), ([1.0], [1.0, 1.0])])
def test_scores_that_speak_for_the_contrary_or_nothing_give_the_prior(fit, genuine, impostor):
    curve = fit(genuine, impostor, prior=0.2)
    assert curve.slope == 0
    assert curve.probability([-100.0, 0.0, 100.0]) == pytest.approx([0.2] * 3)
