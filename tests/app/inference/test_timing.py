from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from app.inference.engines import timing
from app.inference.engines.timing import best_seconds, best_seconds_within, typical_seconds_within


def test_engines_take_turns_and_the_best_of_each_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    calls: list[str] = []
    takes = {"one": [5.0, 2.0, 3.0], "other": [7.0, 8.0, 9.0]}

    def engine(name: str) -> SimpleNamespace:
        def features(batch: object, side: object) -> None:
            nonlocal now
            calls.append(name)
            now += takes[name].pop(0)

        return SimpleNamespace(features=features)

    # A clock that only the engines move: real ones would make this a test of the machine.
    monkeypatch.setattr(timing, "perf_counter", lambda: now)
    blank = np.zeros((1, 2, 2, 1), np.uint8)
    assert best_seconds([engine("one"), engine("other")], blank, turns=3) == [2.0, 7.0]
    assert calls == ["one", "other"] * 3


@pytest.mark.parametrize(("takes", "turns"), [(0.125, 4), (10.0, 3), (0.001, 5)])
def test_there_are_as_many_turns_as_the_time_allows(
    monkeypatch: pytest.MonkeyPatch, takes: float, turns: int
) -> None:
    now = 0.0
    calls = 0

    def features(batch: object, side: object) -> None:
        nonlocal now, calls
        calls += 1
        now += takes

    monkeypatch.setattr(timing, "perf_counter", lambda: now)
    engines = [SimpleNamespace(features=features)] * 2
    blank = np.zeros((1, 2, 2, 1), np.uint8)
    best = best_seconds_within(engines, blank, seconds=1.0, trials=(3, 5))
    assert best == pytest.approx([takes, takes])
    assert calls == 2 * (1 + turns)


def test_works_take_turns_and_the_median_of_each_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    calls: list[str] = []
    # The first turn of each tells how many there can be: five of two seconds and more.
    takes = {"one": [1.0, 5.0, 2.0, 1.0, 90.0, 3.0], "other": [1.0, 1.0, 1.0, 7.0, 9.0, 8.0]}

    def work(name: str) -> Callable[[], None]:
        def run() -> None:
            nonlocal now
            calls.append(name)
            now += takes[name].pop(0)

        return run

    monkeypatch.setattr(timing, "perf_counter", lambda: now)
    works = [work("one"), work("other")]
    assert typical_seconds_within(works, seconds=11.0, trials=(3, 24)) == [3.0, 7.0]
    assert calls == ["one", "other"] * 6
