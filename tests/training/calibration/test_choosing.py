"""Which curve: the simplest of those that do best on classes they were not fitted to."""

import numpy as np
import pytest

from model_store.calibration import evidence
from tests.training.calibration.clouds import bent, scored
from tests.training.scored import scored as hand_scored
from training.calibration import choosing
from training.calibration.choosing import METHODS, choose_curve, simplest_near_best
from training.calibration.fitting import fit_isotonic, fit_logistic


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
