import pytest

from training.schedules import SCHEDULES, with_warm_up


def test_cosine():
    curve = with_warm_up(SCHEDULES["cosine"](floor=0.1), 0.2)
    assert curve(0.1) == pytest.approx(0.5)
    assert curve(0.2) == pytest.approx(1)
    assert curve(0.6) == pytest.approx(0.55)
    assert curve(1.0) == pytest.approx(0.1)


def test_step():
    curve = SCHEDULES["step"](every=0.3, factor=0.1)
    assert [curve(x) for x in (0, 0.29, 0.3, 0.6, 0.9)] == pytest.approx([1, 1, 0.1, 0.01, 0.001])


def test_constant():
    assert with_warm_up(SCHEDULES["constant"](), 0.0)(0.0) == 1
