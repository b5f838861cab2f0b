"""Whether requests are worth reading."""

from app.inference.repeats import Repeats


def read(repeats: Repeats, requests: int) -> int:
    return sum(repeats.worth_reading() for _ in range(requests))


def saw(repeats: Repeats, *, known: int, of: int) -> None:
    for number in range(of):
        repeats.saw(known=number % (of // known) == 0 if known else False)


def test_where_nothing_comes_again_one_in_sixteen_is_read() -> None:
    repeats = Repeats()
    assert read(repeats, 15) == 0
    assert read(repeats, 1) == 1
    saw(repeats, known=0, of=1000)
    assert read(repeats, 160) == 10


def test_where_images_come_again_all_are_read() -> None:
    repeats = Repeats()
    saw(repeats, known=100, of=1000)
    assert read(repeats, 50) == 50


def test_what_was_long_ago_does_not_count() -> None:
    repeats = Repeats()
    saw(repeats, known=1000, of=1000)
    # From a share of one, after n new images (63/64)^n; that is 1/16 after 176.
    saw(repeats, known=0, of=176)
    assert read(repeats, 16) == 16
    saw(repeats, known=0, of=1)
    assert read(repeats, 16) == 1
