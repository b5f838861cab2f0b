import pytest

from training.schedules import SCHEDULES, with_warm_up


def test_cosine():
    curve = with_warm_up(SCHEDULES["cosine"](floor=0.1), 0.2)
    assert curve(0.1) == pytest.approx(0.5)
    assert curve(0.2) == pytest.approx(1)
    assert curve(0.6) == pytest.approx(0.55)
    assert curve(1.0) == pytest.approx(0.1)


def test_at_the_end_of_the_warm_up_the_peak_is_reached_and_never_passed():
    curve = with_warm_up(SCHEDULES["cosine"](), 0.25)
    assert curve(0.0) == 0
    assert max(curve(share / 1000) for share in range(1001)) == curve(0.25) == 1


def test_beyond_its_end_a_cosine_stays_at_its_floor():
    assert SCHEDULES["cosine"](floor=0.1)(1.25) == pytest.approx(0.1)


@pytest.mark.parametrize("options", [{"every": 0.0}, {"factor": 0.0}])
def test_steps_that_are_none_are_refused(options):
    with pytest.raises(ValueError, match="above 0"):
        SCHEDULES["step"](**options)


def test_step():
    curve = SCHEDULES["step"](every=0.3, factor=0.1)
    assert [curve(x) for x in (0, 0.29, 0.3, 0.6, 0.9)] == pytest.approx([1, 1, 0.1, 0.01, 0.001])
    tenths = SCHEDULES["step"](every=0.1, factor=0.1)
    assert tenths(0.3) == pytest.approx(0.001), "though 0.3 / 0.1 is a little less than 3"


def test_constant():
    assert with_warm_up(SCHEDULES["constant"](), 0.0)(0.0) == 1
