import math

import pytest

from app.inference import admission as module
from app.inference.admission import Admission
from app.inference.errors import QueueFull


def test_all_or_none_up_to_the_limit() -> None:
    admission = Admission(4, 1000)
    admission.acquire(3)
    with pytest.raises(QueueFull, match="limit of 4") as caught:
        admission.acquire(2)
    assert caught.value.retry_after >= 1
    assert admission.outstanding == 3
    admission.acquire(1)
    for _ in range(4):
        admission.release()
    assert admission.outstanding == 0
    admission.acquire(4)


def test_retry_after_follows_the_measured_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    admission = Admission(20, 1000)
    assert admission.rate() is None
    admission.acquire(20)
    for _ in range(100):  # Two images a second, always full.
        now += 0.5
        admission.release()
        admission.acquire(1)
    assert admission.rate() == pytest.approx(2, rel=0.1)
    assert admission.retry_after(1) == 1
    assert admission.retry_after(20) in (9, 10, 11)
    for _ in range(20):
        admission.release()
    rate = admission.rate()
    now += 3
    admission.acquire(1)
    admission.release()
    # Idle time does not make the service look slow.
    assert admission.rate() >= rate * 0.9


def test_the_rate_is_that_of_the_last_seconds_and_the_wait_a_minute_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After ten seconds at twenty a second, 1/e of what counts is still of the two before."""
    now = 100.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    admission = Admission(1000, 1000)
    admission.acquire(1000)
    for count, seconds in ((200, 0.5), (200, 0.05)):
        for _ in range(count):
            now += seconds
            admission.release()
            admission.acquire(1)
    assert admission.rate() == pytest.approx(20 - 18 / math.e, rel=0.05)
    assert admission.retry_after(1000) == 60


def test_bytes_are_bounded_and_given_back_once() -> None:
    admission = Admission(4, 1000)
    one, two = admission.reserve(), admission.reserve()
    one.expect(1000)
    assert admission.held_bytes == 0
    one.grow(600)
    one.grow(200)
    with pytest.raises(QueueFull, match="MiB") as caught:
        two.grow(201)
    assert caught.value.retry_after >= 1
    with pytest.raises(QueueFull):
        two.expect(201)
    two.grow(200)
    assert admission.held_bytes == 1000
    one.release()
    one.release()
    assert admission.held_bytes == 200
    two.release()
    assert admission.held_bytes == 0


def test_what_is_there_already_is_counted_whether_there_is_room_or_not() -> None:
    admission = Admission(4, 1000)
    request = admission.reserve()
    request.grow(600)
    answer = request.beside()
    answer.hold(900)
    request.release()
    assert admission.held_bytes == 900
    with pytest.raises(QueueFull):
        request.expect(101)
    answer.hold(2000)
    with pytest.raises(QueueFull):
        request.expect(0)
    answer.hold(500)
    request.grow(500)
    assert admission.held_bytes == 1000
    answer.release()
    answer.release()
    assert admission.held_bytes == 500


def test_when_to_come_back_with_bytes_follows_their_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    admission = Admission(4, 1000)
    held = [admission.reserve() for _ in range(10)]
    for reservation in held:
        reservation.grow(100)
    for _ in range(10):  # A hundred bytes a second, always full.
        for index in range(10):
            now += 1
            held[index].release()
            held[index] = admission.reserve()
            held[index].grow(100)
    with pytest.raises(QueueFull) as caught:
        admission.reserve().expect(500)
    assert caught.value.retry_after in (5, 6)
    for reservation in held:
        reservation.release()
    now += 20
    # Idle time does not make the service look slow.
    admission.reserve().grow(1000)
    with pytest.raises(QueueFull) as caught:
        admission.reserve().expect(500)
    assert caught.value.retry_after <= 6
