"""Fair samples."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.network import Side
from tests.training.trees import grown, pngs, whole
from training.data.folders import ImageClass, ImageFolder, Item
from training.data.opening import open_data
from training.data.sample import first_of_sides, sampled_folder, sampled_rows, shares_of_sides
from training.data.sides import join_sides
from training.data.sources import FolderSource
from training.evaluation.pairs import pool_within


@given(
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=12),
    most=st.integers(8, 60),
    seed=st.integers(0, 5),
)
def test_at_most_so_many_rows_rising_and_of_two_classes_or_more(sizes, most, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rows = sampled_rows(labels, most, seed=seed)
    assert 0 < len(rows) <= most
    assert (np.diff(rows) > 0).all()
    assert len(np.unique(labels[rows])) >= 2
    assert rows.tolist() == sampled_rows(labels, most, seed=seed).tolist()
    if len(labels) <= most:
        assert len(rows) == len(labels)


def test_classes_give_evenly():
    labels = np.repeat(np.arange(5), 10)
    assert np.bincount(labels[sampled_rows(labels, 20, seed=0)]).tolist() == [4] * 5
    limited = sampled_rows(labels, 20, seed=0, classes=2)
    assert sorted(np.bincount(labels[limited]).tolist())[-2:] == [10, 10]


def test_a_folder_that_is_small_enough_is_left_alone(tmp_path):
    folder = open_data(grown(tmp_path, pngs(f"c{n // 6}/{n}.png" for n in range(24)))).whole
    assert sampled_folder(folder, 24, seed=0) is folder
    few = sampled_folder(folder, 8, seed=0)
    assert len(few.items) == 8
    assert len(few.classes) == 2


def test_classes_of_two_images_are_all_kept_where_all_images_fit():
    labels = np.repeat(np.arange(91), [2] * 90 + [4])
    assert len(sampled_rows(labels, 200, seed=0)) == 184
    assert len(np.unique(labels[sampled_rows(labels, 200, seed=0, classes=40)])) == 40


def labelled(sizes: list[int]) -> ImageFolder:
    return ImageFolder(
        FolderSource(Path("made-up")),
        tuple(ImageClass(f"c{label:04}") for label in range(len(sizes))),
        tuple(
            Item(f"c{label:04}/{number}.png", label)
            for label, size in enumerate(sizes)
            for number in range(size)
        ),
    )


@pytest.mark.parametrize("seed", range(4))
def test_of_many_classes_of_one_image_those_with_pairs_are_drawn_first(seed):
    folder = labelled([1] * 2400 + [2] * 3)
    some = sampled_folder(folder, 2000, seed=seed)
    assert pool_within(some).genuine_total == 3
    assert len(some.items) == 2000
    few = sampled_folder(folder, 4, seed=seed)
    assert np.bincount(few.labels).tolist() == [2, 2]
    assert some.items != sampled_folder(folder, 2000, seed=seed + 1).items, "the others by the seed"


@pytest.mark.parametrize("seed", range(4))
def test_a_class_of_very_many_images_is_one_of_many(seed):
    some = sampled_folder(labelled([5_000] + [3] * 40), 50, seed=seed)
    assert 45 <= len(some.items) <= 50
    assert np.bincount(some.labels).max() <= 4


def test_a_pair_of_two_sides_has_an_image_on_either(tmp_path):
    """Three images of one side are none."""
    names = [f"one{number:02}/0.png" for number in range(40)]
    names += [f"some{number}/{image}.png" for number in range(3) for image in range(3)]
    left = whole(grown(tmp_path / "left", pngs(names)))
    right = whole(grown(tmp_path / "right", pngs(["one07/0.png", "some1/0.png", "other/0.png"])))
    few = sampled_folder(join_sides(left, right), 6, seed=0)
    assert {"one07", "some1"} <= {entry.name for entry in few.classes}
    assert pool_within(few).genuine_total >= 2


def two_sided(classes: int, photos: int, shop: int) -> ImageFolder:
    return ImageFolder(
        FolderSource(Path("made-up")),
        tuple(ImageClass(f"c{label:02}") for label in range(classes)),
        tuple(
            Item(f"{side}/c{label:02}/{number}.png", label, side)
            for side, count in ((Side.LEFT, photos), (Side.RIGHT, shop))
            for label in range(classes)
            for number in range(count)
        ),
    )


@pytest.mark.parametrize(
    ("of_class", "classes", "left", "right"),
    [((50, 1), 40, 4, 1), ((1, 50), 40, 1, 4), ((50, 50), 40, 2, 2), ((3, 3), 40, 2, 2)],
)
def test_of_two_sides_each_class_keeps_images_of_either(of_class, classes, left, right):
    folder = two_sided(40, *of_class)
    some = sampled_folder(folder, 200, seed=0)
    assert len(some.classes) == classes
    for on_right, each in ((False, left), (True, right)):
        assert set(np.bincount(some.labels[some.on_right == on_right])) == {each}
    assert some.items == sampled_folder(folder, 200, seed=0).items
    assert some.items != sampled_folder(folder, 200, seed=1).items


def test_of_more_classes_than_there_is_room_for_the_two_sides_have_the_same():
    some = sampled_folder(two_sided(30, 5, 1), 48, seed=0)
    assert len(some.classes) == 12
    assert np.bincount(some.labels[~some.on_right]).tolist() == [3] * 12
    assert np.bincount(some.labels[some.on_right]).tolist() == [1] * 12


def test_what_is_of_one_side_is_drawn_as_rows_are():
    folder = two_sided(9, 7, 0)
    some = sampled_folder(folder, 20, seed=3)
    rows = sampled_rows(folder.labels, 20, seed=3)
    assert [item.key for item in some.items] == [folder.items[row].key for row in rows]
    order = np.random.default_rng(0).permutation(63)
    assert first_of_sides(order, folder.on_right, 20).tolist() == order[:20].tolist()


@given(lefts=st.integers(0, 30), rights=st.integers(0, 30), most=st.integers(1, 40))
def test_a_sample_is_as_large_as_can_be_and_of_both_sides(lefts, rights, most):
    on_right = np.random.default_rng(0).permutation(np.arange(lefts + rights) < rights)
    left, right = shares_of_sides(on_right, most)
    assert min(lefts, 1) <= left <= lefts
    assert min(rights, 1) <= right <= rights
    assert left + right == max(min(lefts + rights, most), min(lefts, 1) + min(rights, 1))
    assert abs(left - right) <= 1 or min(left, right) in (lefts, rights)
    order = np.random.default_rng(1).permutation(len(on_right))
    chosen = first_of_sides(order, on_right, most)
    assert len(set(chosen.tolist())) == len(chosen)
    assert on_right[chosen].tolist() == [False] * left + [True] * right
