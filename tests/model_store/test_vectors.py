import numpy as np
import pytest
import torch
from torch.nn import functional

from model_store.vectors import squared_lengths, to_unit_length


def test_lengths_by_hand() -> None:
    rows = np.array([[3, 4], [0, 0], [-1, 1]], np.float32)
    assert squared_lengths(rows).tolist() == [25, 0, 2]
    assert to_unit_length(rows)[0].tolist() == pytest.approx([0.6, 0.8])
    assert to_unit_length(rows).dtype == np.float32


def test_rows_are_scaled_as_torch_scales_them() -> None:
    rows = np.random.default_rng(0).normal(size=(7, 1280)).astype(np.float32)
    rows[3] = 0
    expected = functional.normalize(torch.from_numpy(rows), dim=-1).numpy()
    np.testing.assert_allclose(to_unit_length(rows), expected, rtol=1e-6)


def test_short_vectors_come_to_unit_length_too() -> None:
    rows = np.array([[3e-6, -4e-6], [3e6, 4e6]], np.float32)
    np.testing.assert_allclose(to_unit_length(rows), [[0.6, -0.8], [0.6, 0.8]], rtol=1e-6)
