"""Where embeddings lie, against values worked out by hand and slow loops."""

import numpy as np
import pytest
import torch

from training.evaluation.pool import Pairs
from training.guard.closeness import measure


def pairs(*rows: tuple[int, int]) -> Pairs:
    return Pairs(*np.array(rows, dtype=np.int64).T)


def test_by_hand():
    points = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [0.0, -4.0]])
    found = measure(points, None, pairs((0, 1)), pairs((0, 2), (1, 3)))
    assert found.genuine_distance == pytest.approx(2.0)
    assert found.impostor_distance == pytest.approx((5**0.5 + 5.0) / 2)
    # at unit length (1,0) twice, (0,1), (0,−1): mean (½, 0), variances ¼ and ½
    assert found.spread == pytest.approx(0.75**0.5)
    assert found.cosine == pytest.approx((1 - 1) / 6)


def test_cosine_and_spread_are_those_of_the_slow_loop():
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(20, 5, generator=generator) + 1
    unit = points / points.norm(dim=1, keepdim=True)
    cosines = [float(unit[i] @ unit[j]) for i in range(20) for j in range(20) if i != j]
    found = measure(points, None, pairs((0, 1)), pairs((2, 3)))
    assert found.cosine == pytest.approx(np.mean(cosines), abs=1e-6)
    assert found.spread == pytest.approx(float(unit.var(0, unbiased=False).sum()) ** 0.5, rel=1e-5)


@pytest.mark.parametrize("constant", [0.0, 1e-20, 3.0, 1e6])
def test_one_vector_for_all_has_no_spread(constant):
    found = measure(torch.full((30, 4), constant), None, pairs((0, 1)), pairs((2, 3)))
    assert found.spread < 1e-6
    assert found.genuine_distance == found.impostor_distance == 0


def test_one_collapsed_side_is_enough():
    points = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    found = measure(points, torch.ones(10, 4), pairs((29, 9)), pairs((2, 3)))
    assert found.spread < 1e-6
    assert found.cosine == pytest.approx(1)
    assert found.genuine_distance == pytest.approx(float((points[29] - 1).norm()))


def test_the_last_of_a_spread_is_measured_below_what_float32_resolves():
    """Ten thousand angles of 0 to 3 · 2⁻²⁴: less than a step of float32 at 1 apart."""
    angles = torch.arange(10_000) % 4 * 2.0**-24
    points = torch.stack([torch.ones(10_000), angles], 1)
    found = measure(points, None, pairs((0, 1)), pairs((2, 3)))
    # Of 0, 1, 2 and 3 the variance is 5 / 4.
    assert found.spread == pytest.approx(2.0**-24 * 1.25**0.5, rel=1e-3)
    assert 0 < 1 - found.cosine < 1e-12
