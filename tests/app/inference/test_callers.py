import pytest

from app.inference import callers as module
from app.inference.callers import Callers


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    return now


def test_one_caller_is_alone_with_all_its_images(clock: list[float]) -> None:
    callers = Callers()
    assert callers.lone_images == 0
    callers.enter(3)
    assert callers.lone_images == 3
    callers.leave(3)
    assert callers.lone_images == 0


def test_nobody_is_alone_beside_another_or_just_after(clock: list[float]) -> None:
    callers = Callers()
    callers.enter(1)
    clock[0] += 1
    callers.enter(2)
    assert callers.lone_images == 0
    clock[0] += 1
    assert callers.lone_images == 0, "both still wait"
    callers.leave(1)
    assert callers.lone_images == 0
    clock[0] += 0.049
    assert callers.lone_images == 0
    callers.leave(2)
    callers.enter(4)
    assert callers.lone_images == 0
    clock[0] += 0.002
    assert callers.lone_images == 4


def test_whoever_leaves_takes_his_own_images_along(clock: list[float]) -> None:
    callers = Callers()
    callers.enter(1)
    callers.enter(2)
    callers.leave(1)
    clock[0] += 1
    assert callers.lone_images == 2
