"""Whether requests are worth reading."""

from app.inference.repeats import Repeats


def read(repeats: Repeats, requests: int) -> int:
    return sum(repeats.worth_reading() for _ in range(requests))


def saw(repeats: Repeats, *known: bool) -> None:
    for each in known:
        repeats.saw(known=each)


def test_where_nothing_comes_again_one_in_32_is_read() -> None:
    repeats = Repeats()
    assert read(repeats, 31) == 0
    assert read(repeats, 1) == 1
    saw(repeats, *[False] * 1000)
    assert read(repeats, 320) == 10


def test_where_images_come_again_all_are_read() -> None:
    repeats = Repeats()
    saw(repeats, *([True] + [False] * 15) * 20)
    assert read(repeats, 50) == 50


def test_three_in_a_row_are_enough_to_notice() -> None:
    repeats = Repeats()
    saw(repeats, True, True)  # A share of 1 - (63/64)^2 = 0.0310, and 1/32 is 0.0313.
    assert read(repeats, 31) == 0
    saw(repeats, True)
    assert read(repeats, 31) == 31


def test_what_was_long_ago_does_not_count() -> None:
    repeats = Repeats()
    saw(repeats, *[True] * 2000)
    # From a share of one, (63/64)^n after n new images; that is 1/32 after 220.
    saw(repeats, *[False] * 220)
    assert read(repeats, 32) == 32
    saw(repeats, False)
    assert read(repeats, 32) == 1
