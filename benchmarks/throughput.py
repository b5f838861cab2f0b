"""Images a second of a network, by so many callers at once."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from app.inference.engines import Engine, Features, UInt8Batch
from model_store.network import Side

Forward = Callable[[UInt8Batch], Features]

_MANY = 1_000_000


@dataclass(frozen=True)
class Contender:
    """Something that runs a network.

    Attributes:
        forward: Features of a batch.
        callers: Threads that call it at once.
    """

    forward: Forward
    callers: int = 1

    @classmethod
    def of(cls, engine: Engine) -> "Contender":
        """An engine, called by as many threads as the service calls it by when it is busy."""
        most = engine.concurrency.own_calls(_MANY, lone=False)
        return cls(lambda images: engine.features(images, Side.LEFT), most)

    def rate(self, images: UInt8Batch, seconds: float) -> float:
        """Images a second, over at least one call of each caller.

        Args:
            images: What every call is given.
            seconds: How long new calls are made.
        """
        with ThreadPoolExecutor(self.callers) as threads:
            started = time.perf_counter()
            counts = [
                threads.submit(self._calls, images, started + seconds) for _ in range(self.callers)
            ]
            calls = sum(count.result() for count in counts)
            return calls * len(images) / (time.perf_counter() - started)

    def _calls(self, images: UInt8Batch, end: float) -> int:
        calls = 0
        while not calls or time.perf_counter() < end:
            self.forward(images)
            calls += 1
        return calls
