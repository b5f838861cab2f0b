"""How long engines take."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter

from app.inference.engines.base import Engine, UInt8Batch
from model_store.network import Side


def best_of(works: Sequence[Callable[[], object]], *, turns: int) -> list[float]:
    """What each of some works takes at best, in seconds, in turns.

    The best, because whatever else the machine does can only slow a turn down.

    Args:
        works: What is timed.
        turns: Of each, at least one.
    """
    best = [math.inf] * len(works)
    for _ in range(turns):
        for index, work in enumerate(works):
            started = perf_counter()
            work()
            best[index] = min(best[index], perf_counter() - started)
    return best


def best_seconds(engines: Sequence[Engine], batch: UInt8Batch, *, turns: int) -> list[float]:
    """What a call takes each of some engines at best, in turns.

    Args:
        engines: Already warm.
        batch: uint8 (N, height, width, channels), what each is called with.
        turns: Calls of each, at least one.
    """
    calls = [partial(engine.features, batch, Side.LEFT) for engine in engines]
    return best_of(calls, turns=turns)


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
    least, most = trials
    once = sum(best_seconds(engines, batch, turns=1))
    turns = max(least, min(most, int(seconds / once)))
    return best_seconds(engines, batch, turns=turns)
