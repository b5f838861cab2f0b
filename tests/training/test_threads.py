"""Threads that stop when they are told to."""

import threading

import pytest

from training.threads import threads


def test_what_is_not_begun_when_it_ends_is_never_done():
    begun, go_on = [], threading.Event()

    def work(number):
        begun.append(number)
        go_on.wait(10)

    def interrupted():
        with threads(2, "some") as pool:
            pool.map(work, range(100))
            # The two under way go on a little after the others are dropped.
            threading.Timer(0.2, go_on.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(begun) < 100


def test_results_come_in_the_order_of_what_was_asked():
    with threads(3, "some") as pool:
        assert list(pool.map(lambda number: number * number, range(50))) == [
            number * number for number in range(50)
        ]
        name = pool.submit(lambda: threading.current_thread().name).result()
    assert name.startswith("some")
