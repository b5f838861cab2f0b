"""Images that other threads hand over, and slots that nobody waits for any more."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.inference.batcher import Batcher
from app.inference.errors import NotReady
from model_store.errors import ImageError
from tests.app.inference.batching import entered, row, submit, value, with_batcher
from tests.app.material import MeanEngine, grey, lane


def test_images_come_from_any_thread() -> None:
    async def scenario(batcher: Batcher) -> None:
        only = lane(MeanEngine())
        slots = [batcher.expect(only) for _ in range(64)]
        with ThreadPoolExecutor(8) as pool:
            for number, slot in enumerate(slots):
                pool.submit(batcher.put, slot, grey(number))
        rows = await asyncio.gather(*(row(batcher, slot) for slot in slots))
        assert [row.embedding[0] for row in rows] == [*range(64)]

    with_batcher(scenario)


def test_an_image_waits_for_nobody_but_the_device() -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = MeanEngine()
        slot = batcher.expect(lane(engine))
        thread = threading.Thread(target=batcher.put, args=(slot, grey(3)))
        thread.start()
        # The event loop does not turn meanwhile, and the engine has the image all the same.
        assert engine.entered.acquire(timeout=30)
        thread.join()
        assert (await row(batcher, slot)).embedding[0] == 3

    with_batcher(scenario)


def test_whoever_waits_hears_why_there_is_no_image() -> None:
    async def scenario(batcher: Batcher) -> None:
        slot = batcher.expect(lane(MeanEngine()))
        await asyncio.to_thread(batcher.fail, slot, ImageError("no image"))
        with pytest.raises(ImageError, match="no image"):
            await row(batcher, slot)

    with_batcher(scenario)


def test_an_image_that_nobody_waits_for_any_more_is_not_queued() -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = MeanEngine()
        slot = batcher.expect(lane(engine))
        waiting = asyncio.create_task(row(batcher, slot))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        batcher.put(slot, grey(1))
        assert batcher.depth == 0
        assert (await submit(batcher, lane(engine), grey(2))).embedding[0] == 2
        assert len(engine.batches) == 1

    metrics = with_batcher(scenario)
    assert value(metrics, "twinlens_dropped_images_total", where="decode") == 1


def test_an_image_that_comes_during_a_fault_or_after_the_end_is_answered() -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = MeanEngine()
        engine.gate.clear()
        only = lane(engine)
        stuck = asyncio.create_task(submit(batcher, only, grey(0)))
        await entered(engine)
        before, after = batcher.expect(only), batcher.expect(only)
        batcher.condemn_if_stuck(0)
        batcher.put(before, grey(1))
        with pytest.raises(NotReady, match="has hung"):
            await row(batcher, before)
        engine.gate.set()
        await asyncio.gather(stuck, return_exceptions=True)
        batcher.recover()
        await batcher.close()
        batcher.put(after, grey(2))
        with pytest.raises(NotReady, match="shutting down"):
            await row(batcher, after)

    with_batcher(scenario)
