"""How long engines take, and what is done beside them."""

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter

from app.inference.engines.base import Engine, UInt8Batch
from model_store.network import Side

_Work = Callable[[], object]


def best_seconds(engines: Sequence[Engine], batch: UInt8Batch, *, turns: int) -> list[float]:
    """What a call takes each of some engines at best, in turns.

    The best, because whatever else the machine does can only slow a turn down.

    Args:
        engines: Already warm.
        batch: uint8 (N, height, width, channels), what each is called with.
        turns: Calls of each, at least one.
    """
    calls = [partial(engine.features, batch, Side.LEFT) for engine in engines]
    return [min(taken) for taken in _in_turns(calls, turns)]


def best_seconds_within(
    engines: Sequence[Engine], batch: UInt8Batch, *, seconds: float, trials: tuple[int, int]
) -> list[float]:
    """As `best_seconds`, with as many turns as a time allows.

    Args:
        engines: Already warm.
        batch: uint8 (N, height, width, channels), what each is called with.
        seconds: How long it may take, all engines together.
        trials: Turns at least and at most.
    """
    once = sum(best_seconds(engines, batch, turns=1))
    return best_seconds(engines, batch, turns=_turns(once, seconds, trials))


def typical_seconds_within(
    works: Sequence[_Work], *, seconds: float, trials: tuple[int, int]
) -> list[float]:
    """What each of some works takes in the median, in turns: how they compare in one process.

    At best would be with the caches to itself, in moments that another one may not get: it is for
    what runs by itself. In turns they find the caches as the others left them, and the CPU in the
    same moods.

    Args:
        works: What is timed, already warm.
        seconds: How long it may take, all works together.
        trials: Turns at least and at most.
    """
    once = sum(taken[0] for taken in _in_turns(works, 1))
    return [statistics.median(taken) for taken in _in_turns(works, _turns(once, seconds, trials))]


def _turns(once: float, seconds: float, trials: tuple[int, int]) -> int:
    least, most = trials
    return max(least, min(most, int(seconds / once)))


def _in_turns(works: Sequence[_Work], turns: int) -> list[list[float]]:
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(turns):
        for work, own in zip(works, taken, strict=True):
            started = perf_counter()
            work()
            own.append(perf_counter() - started)
    return taken
