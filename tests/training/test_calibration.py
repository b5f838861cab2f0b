from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from model_store.calibration import evidence
from model_store.metric import Metric
from tests.training import small
from tests.training.scored import scored as hand_scored
from tests.training.trees import embedded
from training.calibration import (
    calibrate,
    calibration_warnings,
    chance_warnings,
    choosing,
    fit_beta,
    fit_isotonic,
    fit_logistic,
)
from training.calibration.choosing import METHODS, choose_curve, simplest_near_best
from training.calibration.confusable import confusable_warnings
from training.calibration.fitting import Evidence
from training.calibration.making import distribution_of
from training.evaluation.pairs import score_folder
from training.evaluation.protocols.verification import probability_error


def clouds(classes, images=6, spread=0.7, seed=0):
    generator = np.random.default_rng(seed)
    centres = np.repeat(generator.normal(size=(classes, 8)), images, axis=0)
    rows = centres + spread * generator.normal(size=centres.shape)
    return embedded(rows, np.repeat([f"c{n:03}" for n in range(classes)], images).tolist())


def scored(classes, comparator="euclidean", **options):
    return score_folder(small.network(comparator), clouds(classes, **options))


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


def test_a_prior_of_a_half_has_the_targets_of_platt():
    genuine, impostor = np.random.default_rng(0).normal(size=7), np.zeros(12)
    target = Evidence.of(genuine, impostor, 0.5).target
    assert set(target[:7]) == {8 / 9}
    assert set(target[7:]) == {1 / 14}
    target = Evidence.of(genuine, impostor, 0.1).target
    assert set(target) == {7.2 / 9, 0.2 / 14}


def bent(generator, count):
    """Scores whose log-odds are level, then steep: −2 up to 0, then rising by 8 a unit."""
    values = generator.uniform(-1, 1, size=count)
    same = generator.random(count) < 1 / (1 + np.exp(2 - 8 * np.maximum(values, 0)))
    return values[same], values[~same], float(same.mean())


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


def test_the_simplest_next_to_the_best_is_taken():
    assert simplest_near_best({"a": 0.3020, "b": 0.3009, "c": 0.3}) == "b"
    assert simplest_near_best({"a": 0.3020, "b": 0.3011, "c": 0.3}) == "c"
    assert simplest_near_best({"a": 0.3, "b": 0.2, "c": 0.3}) == "b"


def crossed(pairs, prior, seed, most):
    """The mean log losses of five folds of classes, pair by pair."""
    ours, others = (evidence(scores, pairs.metric) for scores in (pairs.genuine, pairs.impostor))
    generator = np.random.default_rng(seed)
    kept = [
        sorted(generator.choice(len(values), most, replace=False).tolist())
        if len(values) > most
        else range(len(values))
        for values in (ours, others)
    ]
    names = sorted({*pairs.genuine_class.tolist(), *pairs.impostor_classes.ravel().tolist()})
    dealt = generator.permutation(len(names))
    fold = {name: int(place) % 5 for name, place in zip(names, dealt, strict=True)}
    losses = {name: [] for name in METHODS}
    for number in range(5):
        mine = {i: fold[int(pairs.genuine_class[i])] == number for i in kept[0]}
        apart = {i: {fold[int(c)] for c in pairs.impostor_classes[i]} for i in kept[1]}
        for name, fit in METHODS.items():
            curve = fit(
                [ours[i] for i, held in mine.items() if not held],
                [others[i] for i, folds in apart.items() if number not in folds],
                prior=prior,
            )
            missed = [-np.log(curve.probability(ours[i])) for i, held in mine.items() if held]
            alarmed = [
                -np.log(1 - curve.probability(others[i]))
                for i, folds in apart.items()
                if folds == {number}
            ]
            losses[name].append(prior * np.mean(missed) + (1 - prior) * np.mean(alarmed))
    return {name: float(np.mean(values)) for name, values in losses.items()}


@pytest.mark.parametrize("most", [250, 50_000], ids=["a sample of pairs", "all pairs"])
def test_curves_are_tried_on_pairs_of_classes_that_they_were_not_fitted_to(most, monkeypatch):
    monkeypatch.setattr(choosing, "_PAIRS", most)
    generator = np.random.default_rng(7)
    couples = np.array([(a * 3, b * 3) for a in range(24) for b in range(a)])
    pairs = hand_scored(
        generator.normal(0.5, 0.3, size=240),
        generator.normal(0, 0.3, size=len(couples)),
        genuine_class=np.repeat(np.arange(24) * 3, 10),
        impostor_classes=couples,
    )
    found = choose_curve(pairs, prior=0.2, seed=5)
    assert found.log_losses == pytest.approx(crossed(pairs, 0.2, 5, most))
    winner = METHODS[simplest_near_best(found.log_losses)]
    assert found.curve == winner(pairs.genuine, pairs.impostor, prior=0.2), "fitted to all of them"


def test_of_twenty_classes_curves_are_tried_and_not_of_fewer():
    assert set(choose_curve(scored(20), prior=0.5, seed=0).log_losses) == set(METHODS)
    assert choose_curve(scored(19), prior=0.5, seed=0).log_losses == {}


def test_where_no_fold_holds_pairs_of_both_kinds_the_simplest_curve_is_taken():
    couples = [(a, b) for a in range(24) for b in range(a)]
    pairs = hand_scored([1.0, 2.0], [0.0] * len(couples), impostor_classes=couples)
    found = choose_curve(pairs, prior=0.5, seed=0)
    assert found.log_losses == {}
    assert found.curve == fit_logistic(pairs.genuine, pairs.impostor)


def test_where_scores_speak_for_the_contrary_no_other_curve_is_tried():
    pairs = scored(24)
    object.__setattr__(pairs, "genuine", pairs.genuine + 1000)
    found = choose_curve(pairs, prior=0.3, seed=0)
    assert found.log_losses == {}
    assert found.curve.probability([-1e4, 0.0]) == pytest.approx([0.3, 0.3])


def test_a_bend_is_worth_more_than_a_straight_line_and_chance_is_not():
    generator = np.random.default_rng(4)
    names = np.arange(40)
    genuine, impostor, _ = bent(generator, 30_000)
    pairs = hand_scored(
        genuine,
        impostor,
        genuine_class=generator.choice(names, len(genuine)),
        impostor_classes=np.stack(
            [generator.choice(names, len(impostor)), generator.choice(names, len(impostor))], axis=1
        ),
    )
    chosen = choose_curve(pairs, prior=0.5, seed=0)
    assert set(chosen.log_losses) == set(METHODS)
    assert chosen.curve.method == "isotonic"
    assert chosen.log_losses["isotonic"] < chosen.log_losses["logistic"]
    rare = choose_curve(pairs, prior=0.1, seed=0).curve
    assert rare == fit_isotonic(genuine, impostor, prior=0.1)
    assert choose_curve(scored(12), prior=0.5, seed=0).log_losses == {}, "too few classes to try"


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


@pytest.mark.parametrize("comparator", ["euclidean", "cosine", "absolute-difference-sigmoid"])
@pytest.mark.parametrize("far", [0.001, 0.01, 0.1])
def test_the_threshold_keeps_the_wanted_rate(comparator, far):
    pairs = scored(30, comparator)
    found = calibrate(pairs, target_far=far, data="clouds", data_digest="0" * 64).calibration
    metric = pairs.metric
    accepted = np.mean([found.same(score, metric) for score in pairs.impostor])
    rejected = np.mean([not found.same(score, metric) for score in pairs.genuine])
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
    achieved = np.mean([found.same(score, pairs.metric) for score in pairs.impostor])
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


def test_enough_is_not_warned_of():
    assert calibrate(scored(30), target_far=0.01).warnings == ()


def test_too_few_pairs_and_classes_are_warned_of_with_how_many_it_takes():
    (few, classes) = calibrate(scored(5), target_far=0.001).warnings
    assert "360 impostor pairs" in few
    assert "at least 3,000" in few
    assert "10,000 for a threshold" in few
    assert "5 classes" in classes


@pytest.mark.parametrize(
    ("enough", "too_few"),
    [
        ({"impostor_pairs": 1000}, {"impostor_pairs": 999}),
        ({"classes": 20}, {"classes": 19}),
        ({"frr": 0.899}, {"frr": 0.9}),
        ({"target_far": 0.01}, {"target_far": 0}),
    ],
)
def test_what_is_just_enough_is_not_warned_of(enough, too_few):
    found = calibrate(scored(30), target_far=0.01).calibration
    assert calibration_warnings(found.model_copy(update=enough)) == ()
    assert len(calibration_warnings(found.model_copy(update=too_few))) == 1


def test_scores_without_meaning_are_warned_of():
    pairs = scored(20)
    object.__setattr__(pairs, "genuine", pairs.genuine + 1000)
    found = calibrate(pairs, target_far=0.01)
    assert found.calibration.curve.slope == 0
    assert "collapsed" in found.warnings[0]


def test_a_threshold_that_hardly_ever_says_same_is_warned_of():
    found = calibrate(scored(30), target_far=0.01).calibration
    assert calibration_warnings(found) == ()
    (warned,) = calibration_warnings(found.model_copy(update={"frr": 0.953}))
    assert "95.3% of the genuine pairs are called different" in warned


@pytest.mark.parametrize(
    ("auc", "interval", "guesses"),
    [
        (0.8, (0.6, 0.9), False),
        (0.8, None, False),
        (0.6, (0.45, 0.7), True),
        (0.48, None, True),
        (0.3, (0.2, 0.4), True),
    ],
)
def test_a_model_that_may_be_guessing_is_warned_of(auc, interval, guesses):
    found = chance_warnings(auc, interval)
    assert len(found) == guesses
    assert all(f"{auc:.3f}" in warning for warning in found)


def alike(apple_pear: int, pear_plum: int, names=("apple", "pear", "plum")):
    """The closest hundred of a thousand pairs: so many of either two classes, in either order."""
    closest = [(1, 0)] * apple_pear + [(1, 2)] * pear_plum
    closest += [(0, 2)] * (100 - len(closest))
    return hand_scored(
        [0.95] * 30,
        [0.9] * 100 + [0.1] * 900,
        genuine_class=[0, 1, 2] * 10,
        impostor_classes=closest + [(0, 2)] * 900,
        class_names=names,
    )


def test_two_classes_that_decide_the_threshold_are_named():
    pairs = alike(70, 30)
    (told,) = confusable_warnings(pairs, 0.1)
    assert told in calibrate(pairs, target_far=0.1).warnings
    assert "70% of the 100 impostor pairs that are most alike" in told
    assert "'apple' and 'pear'" in told


def test_of_distances_the_smallest_are_the_most_alike():
    pairs = alike(70, 30)
    turned = replace(
        pairs,
        metric=Metric.EUCLIDEAN_DISSIMILARITY,
        genuine=-pairs.genuine,
        impostor=-pairs.impostor,
    )
    assert confusable_warnings(turned, 0.1) == confusable_warnings(pairs, 0.1)


def test_a_half_of_them_is_enough_to_decide():
    assert confusable_warnings(alike(50, 30), 0.1)
    assert not confusable_warnings(alike(49, 31), 0.1)


@pytest.mark.parametrize(
    ("pairs", "far"),
    [
        (alike(45, 45), 0.1),
        (alike(70, 30), 0.005),
        (alike(30, 70, names=("apple", "pear")), 0.1),
    ],
    ids=["nobody has most", "too few to tell", "a class without a name"],
)
def test_nobody_is_named_without_cause(pairs, far):
    assert confusable_warnings(pairs, far) == ()


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
