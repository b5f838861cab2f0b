"""Classes that decide a threshold by themselves."""

from dataclasses import replace

import pytest

from model_store.metric import Metric
from tests.training.scored import scored as hand_scored
from training.calibration import (
    calibrate,
)
from training.calibration.confusable import confusable_warnings


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


def test_their_names_end_no_line():
    (told,) = confusable_warnings(alike(70, 30, names=("ap\nple", "pear", "plum")), 0.1)
    assert r"'ap\nple' and 'pear'" in told


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
