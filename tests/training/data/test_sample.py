"""Fair samples."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.training.trees import grown, pngs
from training.data.opening import open_data
from training.data.sample import sampled_folder, sampled_rows


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
