"""What tests of the batcher share."""

import asyncio
from collections.abc import Awaitable, Callable

from app.inference.batcher import Batcher
from app.inference.callers import Callers
from app.inference.engines.base import Concurrency
from app.inference.lane import Lane
from app.inference.rows import Row
from app.inference.schedule import Slot
from app.observability.metrics import Metrics
from model_store.preprocessing import UInt8Image
from tests.app.material import MeanEngine

# Two side by side and one behind, of three images at most.
SIDE_BY_SIDE = Concurrency(streams=2, calls=3, batch=3)


def with_batcher(
    scenario: Callable[[Batcher], Awaitable[None]],
    max_batch: int = 4,
) -> Metrics:
    metrics = Metrics()

    async def main() -> None:
        batcher = Batcher(max_batch=max_batch, threads=4, callers=Callers(), metrics=metrics)
        try:
            await asyncio.wait_for(scenario(batcher), 30)
        finally:
            await batcher.close(drain=False)

    asyncio.run(main())
    return metrics


async def submit(batcher: Batcher, of: Lane, image: UInt8Image) -> Row:
    """Embeds one image."""
    slot = batcher.expect(of)
    batcher.put(slot, image)
    return await row(batcher, slot)


async def row(batcher: Batcher, slot: Slot) -> Row:
    """What becomes of a slot; one that is waited for no longer is given up."""
    try:
        return await slot.answer
    except asyncio.CancelledError:
        batcher.withdraw(slot)
        raise


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


async def entered(engine: MeanEngine) -> None:
    """Waits until the engine has been given a batch."""
    assert await asyncio.to_thread(engine.entered.acquire, timeout=30)


async def at_rest() -> None:
    """Gives threads that could begin with something the time to do so."""
    await asyncio.sleep(0.05)
