import asyncio
from collections.abc import Callable

import numpy as np
import pytest
import torch

from app.inference.batcher import Batcher
from app.inference.errors import EngineFailed, NotReady
from model_store.network import Side
from tests.app.inference.batching import SIDE_BY_SIDE, entered, submit, value, with_batcher
from tests.app.material import DIMENSION, MeanEngine, grey, lane


def test_a_lone_image_goes_at_once_and_gets_its_own_row() -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = MeanEngine()
        row = await submit(batcher, lane(engine), grey(7))
        np.testing.assert_array_equal(row.embedding, np.full(DIMENSION, 7, np.float32))
        assert row.embedding.base is None
        assert engine.batches == [(1, Side.LEFT)]

    with_batcher(scenario)


def test_images_that_arrive_while_the_device_is_busy_form_the_next_batches() -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = MeanEngine()
        engine.gate.clear()
        only = lane(engine)
        first = asyncio.create_task(submit(batcher, only, grey(0)))
        await entered(engine)
        rest = [asyncio.create_task(submit(batcher, only, grey(n))) for n in range(1, 7)]
        await asyncio.sleep(0)
        assert batcher.depth == 6
        assert batcher.busy_seconds > 0
        engine.gate.set()
        rows = await asyncio.gather(first, *rest)
        assert [row.embedding[0] for row in rows] == [0, 1, 2, 3, 4, 5, 6]
        assert [size for size, _ in engine.batches] == [1, 4, 2]

    metrics = with_batcher(scenario)
    assert value(metrics, "twinlens_batch_images_count", model="mean") == 3
    assert value(metrics, "twinlens_batch_images_sum", model="mean") == 7
    assert value(metrics, "twinlens_stage_seconds_sum", stage="queue") > 0


def test_sides_and_models_are_never_mixed_and_take_turns() -> None:
    async def scenario(batcher: Batcher) -> None:
        one, two = MeanEngine(), MeanEngine()
        busy, left = lane(one, name="one"), lane(two, name="two")
        right = lane(two, Side.RIGHT, name="two")
        one.gate.clear()
        tasks = [asyncio.create_task(submit(batcher, busy, grey(1)))]
        await entered(one)
        tasks += [asyncio.create_task(submit(batcher, busy, grey(1))) for _ in range(8)]
        tasks += [asyncio.create_task(submit(batcher, left, grey(2)))]
        tasks += [asyncio.create_task(submit(batcher, right, grey(3)))]
        await asyncio.sleep(0)
        done: list[str] = []
        tasks[9].add_done_callback(lambda _: done.append("two"))
        tasks[8].add_done_callback(lambda _: done.append("last of one"))
        one.gate.set()
        await asyncio.gather(*tasks)
        assert [size for size, _ in one.batches] == [1, 4, 4]
        assert two.batches == [(1, Side.LEFT), (1, Side.RIGHT)]
        # Eight of model one were there first, and model two still had its turn between them.
        assert done == ["two", "last of one"]

    with_batcher(scenario)


def test_one_bad_image_fails_alone() -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = MeanEngine()
        engine.gate.clear()
        only = lane(engine)
        first = asyncio.create_task(submit(batcher, only, grey(0)))
        await entered(engine)
        values = [1, MeanEngine.POISON, 3]
        rest = [asyncio.create_task(submit(batcher, only, grey(n))) for n in values]
        await asyncio.sleep(0)
        engine.gate.set()
        await first
        answers = await asyncio.gather(*rest, return_exceptions=True)
        assert answers[0].embedding[0] == 1
        assert isinstance(answers[1], EngineFailed)
        assert answers[2].embedding[0] == 3
        assert (await submit(batcher, only, grey(9))).embedding[0] == 9
        assert batcher.fault is None

    metrics = with_batcher(scenario)
    assert value(metrics, "twinlens_engine_failures_total", model="mean", what="batch") == 1
    assert value(metrics, "twinlens_engine_failures_total", model="mean", what="image") == 1


@pytest.mark.parametrize("images", [1, 3])
def test_too_few_rows_are_an_error_and_no_answer_is_swapped(images: int) -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = MeanEngine()
        engine.rows_short = 1
        engine.gate.clear()
        only = lane(engine)
        tasks = [asyncio.create_task(submit(batcher, only, grey(n))) for n in range(images)]
        await entered(engine)
        engine.gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(answer, EngineFailed) for answer in answers)

    with_batcher(scenario)


def test_an_embedding_that_is_not_finite_fails_alone() -> None:
    class NotANumber(MeanEngine):
        def features(self, batch: np.ndarray, side: Side) -> np.ndarray:
            rows = super().features(batch, side)
            rows[rows == 5] = np.nan
            return rows

    async def scenario(batcher: Batcher) -> None:
        only = lane(NotANumber())
        answers = await asyncio.gather(
            *(submit(batcher, only, grey(n)) for n in (4, 5, 6)), return_exceptions=True
        )
        assert [isinstance(answer, EngineFailed) for answer in answers] == [False, True, False]

    with_batcher(scenario)


def test_cancelled_images_never_reach_the_device() -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = MeanEngine()
        engine.gate.clear()
        only = lane(engine)
        first = asyncio.create_task(submit(batcher, only, grey(0)))
        await entered(engine)
        rest = [asyncio.create_task(submit(batcher, only, grey(n))) for n in range(1, 4)]
        await asyncio.sleep(0)
        rest[0].cancel()
        rest[2].cancel()
        await asyncio.wait([rest[0], rest[2]])
        assert batcher.depth == 1
        engine.gate.set()
        assert (await first).embedding[0] == 0
        assert (await rest[1]).embedding[0] == 2
        assert engine.batches == [(1, Side.LEFT), (1, Side.LEFT)]

    metrics = with_batcher(scenario)
    assert value(metrics, "twinlens_dropped_images_total", where="queue") == 2


def test_an_image_that_comes_after_its_slot_was_given_up_is_not_embedded() -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = MeanEngine()
        slot = batcher.expect(lane(engine))
        batcher.withdraw(slot)
        assert slot.answer.cancelled()
        batcher.put(slot, grey(1))
        assert (await submit(batcher, lane(engine), grey(2))).embedding[0] == 2
        assert engine.batches == [(1, Side.LEFT)]

    metrics = with_batcher(scenario)
    assert value(metrics, "twinlens_dropped_images_total", where="decode") == 1


def test_a_cancelled_image_on_the_device_does_not_disturb_its_batch_mates() -> None:
    async def scenario(batcher: Batcher) -> None:
        before, engine = MeanEngine(), MeanEngine()
        before.gate.clear()
        engine.gate.clear()
        first = asyncio.create_task(submit(batcher, lane(before), grey(0)))
        await entered(before)
        only = lane(engine)
        pair = [asyncio.create_task(submit(batcher, only, grey(n))) for n in (1, 2)]
        await asyncio.sleep(0)
        before.gate.set()
        await first
        await entered(engine)
        assert batcher.depth == 0
        pair[0].cancel()
        await asyncio.wait([pair[0]])
        engine.gate.set()
        assert (await pair[1]).embedding[0] == 2
        assert pair[0].cancelled()

    metrics = with_batcher(scenario)
    assert value(metrics, "twinlens_dropped_images_total", where="device") == 1


@pytest.mark.parametrize("drain", [True, False])
def test_closing_answers_everything(drain: bool) -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = MeanEngine()
        engine.gate.clear()
        only = lane(engine)
        tasks = [asyncio.create_task(submit(batcher, only, grey(0)))]
        await entered(engine)
        tasks += [asyncio.create_task(submit(batcher, only, grey(n))) for n in range(1, 6)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(batcher.close(drain=drain))
        await asyncio.sleep(0)
        with pytest.raises(NotReady):
            await submit(batcher, only, grey(9))
        engine.gate.set()
        await closing
        assert not any(thread.is_alive() for thread in batcher._threads), "nor does one wait on"
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert answers[0].embedding[0] == 0
        if drain:
            assert [answer.embedding[0] for answer in answers] == [0, 1, 2, 3, 4, 5]
        else:
            assert all(isinstance(answer, NotReady) for answer in answers[1:])

    with_batcher(scenario)


def on_a_gpu() -> None:
    raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")


def on_the_cpu() -> None:
    torch.empty(1 << 60, dtype=torch.uint8)


@pytest.mark.parametrize("allocate", [on_a_gpu, on_the_cpu])
def test_memory_that_is_short_halves_the_batch_and_is_remembered(
    allocate: Callable[[], None],
) -> None:
    class Small(MeanEngine):
        def features(self, batch: np.ndarray, side: Side) -> np.ndarray:
            rows = super().features(batch, side)
            if len(batch) > 2:
                allocate()
            return rows

    async def scenario(batcher: Batcher) -> None:
        engine = Small()
        engine.gate.clear()
        only = lane(engine)
        tasks = [asyncio.create_task(submit(batcher, only, grey(0)))]
        await entered(engine)
        tasks += [asyncio.create_task(submit(batcher, only, grey(n))) for n in range(1, 17)]
        await asyncio.sleep(0)
        engine.gate.set()
        rows = await asyncio.gather(*tasks)
        assert [row.embedding[0] for row in rows] == [*range(17)]
        sizes = [size for size, _ in engine.batches]
        assert sizes == [1, 8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
        assert batcher.limit(engine) == 2
        assert batcher.limit(MeanEngine()) is None

    metrics = with_batcher(scenario, max_batch=8)
    assert value(metrics, "twinlens_engine_failures_total", model="mean", what="image") == 0


def test_under_random_load_and_cancellation_every_image_gets_its_own_answer() -> None:
    async def scenario(batcher: Batcher) -> None:
        random = np.random.default_rng(0)
        lanes = [lane(MeanEngine(SIDE_BY_SIDE), side) for side in Side]

        async def one(number: int) -> None:
            await asyncio.sleep(float(random.uniform(0, 0.05)))
            image = grey(number % 250)
            try:
                async with asyncio.timeout(float(random.choice([0.0001, 10]))):
                    row = await submit(batcher, lanes[number % 2], image)
            except TimeoutError:
                return
            assert row.embedding[0] == number % 250

        await asyncio.gather(*(one(number) for number in range(600)))
        assert batcher.depth == 0

    with_batcher(scenario)
