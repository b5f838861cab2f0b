"""A supervisor that looks often, and engines with faults for it to see to."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
import pytest
import torch

from app.inference import supervisor as module
from app.inference.batcher import Batcher
from app.inference.callers import Callers
from app.inference.decode import Decoder
from app.inference.errors import EngineGone
from app.inference.lane import Lane
from app.inference.supervisor import Supervisor
from app.observability.metrics import Metrics
from model_store.network import Side
from tests.app.material import MeanEngine
from tests.app.serving import wait_until


class FaultyEngine(MeanEngine):
    """Does at each call what a list says, and is sound once that has come to its end."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__()
        self.faults = faults
        self.released = threading.Event()

    def rebuilt(self) -> "FaultyEngine":
        """Another one, that goes on with the list."""
        other = FaultyEngine(self.faults)
        other.released = self.released
        return other

    def features(self, batch: np.ndarray, side: Side) -> np.ndarray:
        rows = super().features(batch, side)
        fault = self.faults.pop(0) if self.faults else "none"
        if fault == "raise":
            raise ValueError("no")
        if fault == "memory":
            raise torch.OutOfMemoryError("no memory")
        if fault == "hang":
            assert self.released.wait(30)
        if fault == "die":
            raise SystemExit
        if fault == "gone":
            raise EngineGone("it has ended")
        if fault == "nan":
            rows[0] = np.nan
        return rows[:-1] if fault == "short" else rows


class Elsewhere(MeanEngine):
    """An engine that computes in a process, which ends when it is told to."""

    gone = False

    def features(self, batch: np.ndarray, side: Side) -> np.ndarray:
        rows = super().features(batch, side)
        if self.gone:
            raise EngineGone("it has ended")
        return rows

    def ended(self) -> bool:
        return self.gone


@contextlib.asynccontextmanager
async def supervision(
    metrics: Metrics,
    rebuild: Callable[[str], Awaitable[None]],
    watchdog_seconds: float,
    lanes: Callable[[], list[Lane]] = list,
    turn: float = 0.0,
) -> AsyncIterator[tuple[Batcher, Decoder, Supervisor]]:
    """Of which a rebuilding has to wait for its turn, in seconds."""

    async def in_turn(model: str, begun: Callable[[], None]) -> None:
        await asyncio.sleep(turn)
        begun()
        await rebuild(model)

    batcher = Batcher(max_batch=4, threads=2, callers=Callers(), metrics=metrics)
    decoder = Decoder(threads=1, max_pixels=1_000_000, metrics=metrics)
    supervisor = Supervisor(
        batcher,
        decoder,
        rebuild=in_turn,
        lanes=lanes,
        watchdog_seconds=watchdog_seconds,
        metrics=metrics,
    )
    try:
        with pytest.MonkeyPatch.context() as quicker:
            quicker.setattr(module, "_LOOK_SECONDS", 0.001)
            yield batcher, decoder, supervisor
    finally:
        decoder.close()
        await batcher.close(drain=False)


def supervised(
    scenario: Callable[[Batcher, Supervisor], Awaitable[None]],
    rebuild: Callable[[str], Awaitable[None]],
    watchdog_seconds: float = 0.5,
    lanes: Callable[[], list[Lane]] = list,
    turn: float = 0.0,
) -> Metrics:
    metrics = Metrics()

    async def main() -> None:
        async with supervision(metrics, rebuild, watchdog_seconds, lanes, turn) as (
            batcher,
            _,
            supervisor,
        ):
            watching = asyncio.create_task(supervisor.watch())
            try:
                await asyncio.wait_for(scenario(batcher, supervisor), 30)
            finally:
                watching.cancel()

    asyncio.run(main())
    return metrics


async def until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, condition)
