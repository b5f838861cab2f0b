"""The images that a network is looked at by while it trains."""

import pytest

from tests.training.trees import grown, pngs, whole
from training.data.sides import join_sides
from training.evaluation.pairs import pool_within
from training.run.watch import some_classes, with_pairs


@pytest.fixture
def folder(tmp_path):
    """40 classes of one image, and three of three."""
    names = [f"one{number:02}/0.png" for number in range(40)]
    names += [f"some{number}/{image}.png" for number in range(3) for image in range(3)]
    return whole(grown(tmp_path / "left", pngs(names)))


def names(folder) -> set[str]:
    return {entry.name for entry in folder.classes}


@pytest.mark.parametrize("seed", range(4))
def test_of_many_classes_of_one_image_those_with_pairs_are_drawn_first(folder, seed):
    few, some = (some_classes(folder, images, seed) for images in (2, 12))
    assert len(few.classes) == 2
    assert names(few) < {"some0", "some1", "some2"} < names(some)
    assert len(some.items) == 12
    assert some_classes(folder, 49, seed) is folder
    other = some_classes(folder, 12, seed + 1)
    assert names(other) != names(some), "the others by the seed"


def test_a_pair_of_two_sides_has_an_image_on_either(folder, tmp_path):
    """Three images of one side are none."""
    right = whole(grown(tmp_path / "right", pngs(["one07/0.png", "some1/0.png", "other/0.png"])))
    joined = join_sides(folder, right)
    assert names(with_pairs(joined)) == {"one07", "some1"}
    few = some_classes(joined, 2, seed=0)
    assert names(few) == {"one07", "some1"}
    assert pool_within(few).genuine_total == 4
