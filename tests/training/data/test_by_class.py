import time

import numpy as np
import pytest

from training.data.by_class import rows_by_class
from training.evaluation.pool import PairPool


@pytest.mark.parametrize("labels", [[], [0], [3, 0, 3, 7, 0, 0], [1, 1]])
def test_rows_are_those_of_a_slow_loop(labels):
    found = rows_by_class(np.array(labels, dtype=np.int64))
    assert list(found) == sorted(set(labels))
    for label, rows in found.items():
        assert rows.tolist() == [row for row, other in enumerate(labels) if other == label]


def test_many_classes_take_no_time_for_each_image_of_all():
    """Of 100,000 classes a comparison of each with all images took minutes."""
    labels = np.repeat(np.arange(100_000), 2)[np.random.default_rng(0).permutation(200_000)]
    began = time.process_time()
    found = rows_by_class(labels)
    assert time.process_time() - began < 3
    assert len(found) == 100_000
    assert labels[found[7]].tolist() == [7, 7]


def test_a_pool_finds_the_rows_of_its_classes_once(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "training.evaluation.pool.rows_by_class",
        lambda labels: asked.append(len(labels)) or rows_by_class(labels),
    )
    pool = PairPool.within(np.repeat(np.arange(5), 4))
    pool.genuine(29, np.random.default_rng(0))
    pool.genuine(30, np.random.default_rng(0))
    assert asked == [20]
