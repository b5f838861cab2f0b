"""What users of a calibration are warned of."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training import small
from tests.training.calibration.clouds import clouds, scored
from tests.training.trees import embedded
from training.calibration import (
    calibrate,
    calibration_warnings,
    chance_warnings,
    unpaired_warnings,
)
from training.evaluation.pairs import score_folder


def test_enough_is_not_warned_of():
    assert calibrate(scored(30), target_far=0.01).warnings == ()


def test_too_few_pairs_and_classes_are_warned_of_with_how_many_it_takes():
    (few, classes) = calibrate(scored(5), target_far=0.001).warnings
    assert "360 impostor pairs" in few
    assert "at least 3,000" in few
    assert "10,000 for a threshold" in few
    assert "5 classes" in classes


def test_what_is_seen_is_not_said_to_need_more_to_be_seen():
    found = calibrate(scored(30), target_far=0.01).calibration
    (few,) = calibration_warnings(found.model_copy(update={"impostor_pairs": 400}))
    assert few.startswith("400 impostor pairs are few for a false-accept rate of 0.01: 1,000 are")
    assert "to see one at all" not in few
    assert "add images or classes" in few


def test_of_a_sample_more_pairs_are_taken_and_no_images_added():
    pairs = score_folder(small.network("euclidean"), clouds(30), max_impostors=200)
    (few,) = calibrate(pairs, target_far=0.01).warnings
    assert "200 impostor pairs are too few" in few
    assert "--max-impostors" in few
    assert "add images" not in few
    # As where classes were never left out together.
    unlimited = replace(pairs.impostor_pairs, limited=False)
    (few,) = calibrate(replace(pairs, impostor_pairs=unlimited), target_far=0.01).warnings
    assert "--max-impostors" not in few
    assert "add images or classes" in few


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


def test_classes_of_a_single_image_say_nothing_of_how_alike_images_of_a_class_are():
    rows = clouds(3, images=12).embeddings.numpy()
    names = np.repeat(["a", "b", "c"], 12).tolist() + [f"single{n}" for n in range(60)]
    single = np.random.default_rng(1).normal(size=(60, 8))
    pairs = score_folder(small.network("euclidean"), embedded([*rows, *single], names))
    found = calibrate(pairs, target_far=0.05)
    assert found.calibration.classes == 3
    assert found.calibration.log_losses == {}, "as with three classes, no curve is chosen"
    assert any("3 classes say little" in said for said in found.warnings)
    (warned,) = unpaired_warnings(pairs)
    assert warned.startswith("60 class(es) have no second image")
    assert "single0, single1, single10 and 57 more" in warned
    assert unpaired_warnings(scored(3)) == ()


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
