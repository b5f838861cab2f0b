"""Principal directions, against a singular value decomposition of the rows themselves."""

import numpy as np
import pytest

from training.principal import principal_directions


@pytest.mark.parametrize(("count", "dimension"), [(30, 7), (7, 30), (9, 9)])
def test_as_a_singular_value_decomposition_has_them(count, dimension):
    rows = np.random.default_rng(count).normal(size=(count, dimension))
    squares, directions = principal_directions(rows)
    _, values, right = np.linalg.svd(rows, full_matrices=False)
    assert np.allclose(squares, values[::-1] ** 2)
    # Up to their signs.
    assert np.allclose(np.abs((directions * right[::-1]).sum(axis=1)), 1)


@pytest.mark.parametrize(("count", "dimension"), [(40, 12), (12, 40)])
def test_only_directions_in_which_something_lies(count, dimension):
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(count, 3)) @ rng.normal(size=(3, dimension))
    squares, directions = principal_directions(rows)
    assert squares.shape == (3,)
    assert np.allclose(directions @ directions.T, np.eye(3))
    assert np.allclose(rows @ directions.T @ directions, rows)


def test_rows_of_zeros_have_none():
    squares, directions = principal_directions(np.zeros((5, 4)))
    assert squares.shape == (0,)
    assert directions.shape == (0, 4)
