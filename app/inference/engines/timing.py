"""How long engines take."""

import math
from collections.abc import Sequence
from time import perf_counter

from app.inference.engines.base import Engine, UInt8Batch
from model_store.network import Side


def best_seconds(engines: Sequence[Engine], batch: UInt8Batch, *, turns: int) -> list[float]:
    """What a call takes each of some engines at best, in turns.

    The best, because whatever else the machine does can only slow a turn down.

    Args:
        engines: Already warm.
        batch: uint8 (N, height, width, channels), what each is called with.
        turns: Calls of each, at least one.
    """
    best = [math.inf] * len(engines)
    for _ in range(turns):
        for index, engine in enumerate(engines):
            started = perf_counter()
            engine.features(batch, Side.LEFT)
            best[index] = min(best[index], perf_counter() - started)
    return best
