"""The batcher before an engine that takes several calls at once."""

import asyncio
from time import perf_counter

from app.inference.batcher import Batcher
from app.inference.engines.base import Concurrency
from app.inference.errors import EngineFailed
from app.inference.lane import Lane
from app.inference.rows import Row
from tests.app.inference.batching import (
    SIDE_BY_SIDE,
    at_rest,
    entered,
    submit,
    value,
    with_batcher,
)
from tests.app.material import MeanEngine, grey, lane

# Likewise, but that one of the two is enough for the engine.
ONE_OF_TWO = Concurrency(streams=2, calls=4, batch=3, own=1)


async def both_streams_busy(
    batcher: Batcher, engine: MeanEngine
) -> tuple[Lane, list[asyncio.Task[Row]]]:
    """The engine's lane, and the images 0 and 1 that it is at, until its gate is opened."""
    engine.gate.clear()
    only = lane(engine)
    tasks = []
    for number in range(2):
        tasks.append(asyncio.create_task(submit(batcher, only, grey(number))))
        await entered(engine)
    return only, tasks


def test_the_next_batch_begins_beside_the_first_where_the_engine_has_two_streams() -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = MeanEngine(SIDE_BY_SIDE)
        only, tasks = await both_streams_busy(batcher, engine)
        tasks += [asyncio.create_task(submit(batcher, only, grey(value))) for value in (2, 3)]
        await at_rest()
        assert batcher.depth == 2
        engine.gate.set()
        rows = await asyncio.gather(*tasks)
        assert [row.embedding[0] for row in rows] == [0, 1, 2, 3]

    with_batcher(scenario)


def test_calls_side_by_side_take_the_devices_time_once() -> None:
    took = 0.0

    async def scenario(batcher: Batcher) -> None:
        nonlocal took
        engine = MeanEngine(SIDE_BY_SIDE)
        started = perf_counter()
        _, tasks = await both_streams_busy(batcher, engine)
        await asyncio.sleep(0.2)
        engine.gate.set()
        await asyncio.gather(*tasks)
        await at_rest()
        took = perf_counter() - started

    metrics = with_batcher(scenario)
    assert 0.2 <= value(metrics, "twinlens_device_busy_seconds_total") <= took
    assert value(metrics, "twinlens_stage_seconds_sum", stage="device") >= 0.4


def test_what_waits_is_shared_between_the_streams() -> None:
    async def scenario(batcher: Batcher) -> None:
        many, single = MeanEngine(SIDE_BY_SIDE), MeanEngine()
        single.gate.clear()
        many.gate.clear()
        tasks = [asyncio.create_task(submit(batcher, lane(single), grey(9)))]
        await entered(single)
        only = lane(many)
        tasks += [asyncio.create_task(submit(batcher, only, grey(value))) for value in range(4)]
        await asyncio.sleep(0)
        single.gate.set()
        await entered(many)
        await entered(many)
        many.gate.set()
        assert [size for size, _ in many.batches] == [2, 2]
        rows = await asyncio.gather(*tasks)
        assert [row.embedding[0] for row in rows] == [9, 0, 1, 2, 3]

    with_batcher(scenario)


def test_only_a_full_batch_waits_inside_the_engine() -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = MeanEngine(SIDE_BY_SIDE)
        only, tasks = await both_streams_busy(batcher, engine)
        tasks += [asyncio.create_task(submit(batcher, only, grey(value))) for value in (2, 3, 4)]
        await entered(engine)
        tasks += [asyncio.create_task(submit(batcher, only, grey(value))) for value in range(5, 11)]
        await at_rest()
        assert [size for size, _ in engine.batches] == [1, 1, 3]
        assert batcher.depth == 6
        engine.gate.set()
        rows = await asyncio.gather(*tasks)
        assert [row.embedding[0] for row in rows] == [*range(11)]
        assert all(size <= 3 for size, _ in engine.batches)

    with_batcher(scenario)


def test_an_engine_that_is_called_by_one_thread_only_has_the_device_for_itself() -> None:
    async def scenario(batcher: Batcher) -> None:
        many, single = MeanEngine(SIDE_BY_SIDE), MeanEngine()
        many.gate.clear()
        first = asyncio.create_task(submit(batcher, lane(many), grey(1)))
        await entered(many)
        second = asyncio.create_task(submit(batcher, lane(single), grey(2)))
        await at_rest()
        assert batcher.depth == 1
        single.gate.clear()
        many.gate.set()
        assert (await first).embedding[0] == 1
        await entered(single)
        third = asyncio.create_task(submit(batcher, lane(many), grey(3)))
        await at_rest()
        assert batcher.depth == 1
        single.gate.set()
        assert (await second).embedding[0] == 2
        assert (await third).embedding[0] == 3

    with_batcher(scenario)


def test_all_that_is_in_work_is_answered_when_one_call_of_several_hangs() -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = MeanEngine(SIDE_BY_SIDE)
        _, tasks = await both_streams_busy(batcher, engine)
        batcher.condemn_if_stuck(0)
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(answer, EngineFailed) for answer in answers)
        batcher.recover()
        engine.gate.set()
        sound = lane(MeanEngine(SIDE_BY_SIDE))
        assert (await submit(batcher, sound, grey(5))).embedding[0] == 5

    with_batcher(scenario)


async def one_call(batcher: Batcher, engine: MeanEngine, value: int) -> asyncio.Task[Row]:
    """An image that an engine is at, until its gate is opened."""
    engine.gate.clear()
    task = asyncio.create_task(submit(batcher, lane(engine), grey(value)))
    await entered(engine)
    return task


def test_an_engine_that_is_content_with_one_stream_gets_larger_batches_instead_of_two() -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = MeanEngine(ONE_OF_TWO)
        only = lane(engine)
        tasks = [await one_call(batcher, engine, 0)]
        tasks += [asyncio.create_task(submit(batcher, only, grey(value))) for value in (1, 2)]
        await at_rest()
        assert batcher.depth == 2
        engine.gate.set()
        rows = await asyncio.gather(*tasks)
        assert [row.embedding[0] for row in rows] == [0, 1, 2]
        assert [size for size, _ in engine.batches] == [1, 2]

    with_batcher(scenario)


def test_only_a_full_batch_of_it_waits_inside_the_engine() -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = MeanEngine(ONE_OF_TWO)
        only = lane(engine)
        tasks = [await one_call(batcher, engine, 0)]
        tasks += [asyncio.create_task(submit(batcher, only, grey(value))) for value in range(1, 9)]
        await entered(engine)
        await at_rest()
        assert [size for size, _ in engine.batches] == [1, 3]
        assert batcher.depth == 5
        engine.gate.set()
        await asyncio.gather(*tasks)

    with_batcher(scenario)


def test_what_it_leaves_others_take_whoever_came_first() -> None:
    async def scenario(batcher: Batcher) -> None:
        content, other = MeanEngine(ONE_OF_TWO), MeanEngine(Concurrency(2, 4, 3))
        tasks = [await one_call(batcher, content, 0)]
        tasks.append(asyncio.create_task(submit(batcher, lane(content), grey(1))))
        await at_rest()
        tasks.append(await one_call(batcher, other, 2))
        content.gate.set()
        other.gate.set()
        rows = await asyncio.gather(*tasks)
        assert [row.embedding[0] for row in rows] == [0, 1, 2]

    with_batcher(scenario)


def test_a_model_that_wants_the_device_for_itself_is_not_passed_over() -> None:
    async def scenario(batcher: Batcher) -> None:
        content, single = MeanEngine(ONE_OF_TWO), MeanEngine()
        tasks = [await one_call(batcher, content, 0)]
        tasks.append(asyncio.create_task(submit(batcher, lane(single), grey(1))))
        await asyncio.sleep(0)
        late = MeanEngine(ONE_OF_TWO)
        tasks.append(asyncio.create_task(submit(batcher, lane(late), grey(2))))
        await at_rest()
        assert not late.batches
        assert not single.batches
        content.gate.set()
        rows = await asyncio.gather(*tasks)
        assert [row.embedding[0] for row in rows] == [0, 1, 2]

    with_batcher(scenario)
