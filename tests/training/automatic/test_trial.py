import numpy as np
import pytest
import torch

from training.automatic.trial import deal, merit


def _clustered(classes=9, images=6, noise=0.05, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, 8))
    labels = np.repeat(np.arange(classes), images)
    rows = centres[labels] + noise * rng.normal(size=(len(labels), 8))
    folds = np.arange(classes) % 3
    return torch.from_numpy(rows).float(), labels, folds[labels]


@pytest.mark.parametrize("whitened", [False, True])
def test_classes_far_apart_are_told_apart(whitened):
    rows, labels, folds = _clustered()
    found = merit([rows], labels, folds, whitened=whitened)
    assert found.eer == 0
    assert found.auc == 1


def test_noise_is_worth_nothing():
    rows, labels, folds = _clustered(images=12, noise=1000.0)
    assert merit([rows], labels, folds, whitened=True).auc == pytest.approx(0.5, abs=0.06)


def test_what_is_learnt_on_other_classes_helps():
    rows, labels, folds = _clustered(noise=0.2)
    rows[:, 0] += 20 * torch.randn(len(rows), generator=torch.Generator().manual_seed(0))
    plain = merit([rows], labels, folds, whitened=False)
    assert merit([rows], labels, folds, whitened=True).eer < plain.eer


def test_a_class_is_never_judged_by_what_was_fitted_to_it():
    """Every image is a direction of its own, the same for its class only within a fold's rest."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(9), 6)
    rows = torch.from_numpy(rng.normal(size=(54, 400))).float()
    found = merit([rows], labels, labels % 3, whitened=True)
    assert found.auc == pytest.approx(0.5, abs=0.12)


def test_nothing_to_judge_by():
    rows, _, folds = _clustered(classes=3, images=2)
    assert merit([rows], np.arange(6), folds, whitened=False) is None


def test_where_images_have_sides_only_a_left_and_a_right_one_are_a_pair():
    """The left images tell all classes apart, the right ones none: all of them are alike."""
    rows, labels, folds = _clustered(images=4)
    on_right = np.tile([False, False, False, True], 9)
    alone = merit([rows], labels, folds, whitened=False)
    rows[torch.from_numpy(on_right)] = torch.ones(8)
    assert merit([rows], labels, folds, whitened=False).auc > 0.6
    found = merit([rows], labels, folds, whitened=False, on_right=on_right)
    cosines = torch.nn.functional.normalize(rows, dim=1) @ torch.ones(8)
    by_hand = []
    for fold in range(3):
        scores = {True: [], False: []}
        for left in np.flatnonzero(~on_right & (folds == fold)):
            for right in np.flatnonzero(on_right & (folds == fold)):
                scores[bool(labels[left] == labels[right])].append(float(cosines[left]))
        won = [(a > b) + 0.5 * (a == b) for a in scores[True] for b in scores[False]]
        by_hand.append(np.mean(won))
    assert found.auc == pytest.approx(np.mean(by_hand), abs=1e-6)
    assert found.auc < alone.auc == 1


@pytest.mark.parametrize(
    ("classes", "sizes"),
    [(1, [1]), (2, [2]), (3, [3]), (4, [2, 2]), (5, [3, 2]), (6, [2, 2, 2]), (11, [4, 4, 3])],
)
def test_classes_are_dealt_into_folds_of_two_or_more(classes, sizes):
    folds = deal(classes, np.random.default_rng(0))
    assert np.bincount(folds).tolist() == sizes


def test_which_class_is_in_which_fold_is_drawn():
    drawn = {tuple(deal(9, np.random.default_rng(seed)).tolist()) for seed in range(5)}
    assert len(drawn) == 5
    assert tuple(deal(9, np.random.default_rng(3)).tolist()) in drawn
