"""Device threads that die and calls that hang."""

import asyncio

import numpy as np
import pytest

from app.inference.batcher import Batcher
from app.inference.callers import Callers
from app.inference.errors import EngineFailed, NotReady
from app.observability.metrics import Metrics
from model_store.network import Side
from tests.app.inference.batching import SIDE_BY_SIDE, entered, submit, with_batcher
from tests.app.material import MeanEngine, grey, lane
from tests.app.serving import wait_until


def test_a_dead_device_thread_answers_says_so_and_recovers() -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = MeanEngine()
        engine.gate.clear()
        only = lane(engine)
        tasks = [asyncio.create_task(submit(batcher, only, grey(n))) for n in range(6)]
        await entered(engine)
        engine.error = SystemExit("the driver is gone")
        engine.gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[0], EngineFailed)
        assert all(isinstance(answer, (EngineFailed, NotReady)) for answer in answers)
        assert batcher.fault is not None
        assert "SystemExit" in batcher.fault.reason
        assert batcher.fault.model == "mean"
        with pytest.raises(NotReady):
            await submit(batcher, only, grey(1))
        batcher.recover()
        assert (await submit(batcher, lane(MeanEngine()), grey(1))).embedding[0] == 1

    with_batcher(scenario)


def test_a_hung_call_is_given_up_and_its_late_answer_goes_nowhere() -> None:
    async def scenario(batcher: Batcher) -> None:
        hung, sound = MeanEngine(), MeanEngine()
        hung.gate.clear()
        only = lane(hung, name="hung")
        first = asyncio.create_task(submit(batcher, only, grey(1)))
        await entered(hung)
        second = asyncio.create_task(submit(batcher, only, grey(2)))
        await asyncio.sleep(0)
        batcher.condemn_if_stuck(1000)
        assert batcher.fault is None
        batcher.condemn_if_stuck(0)
        assert batcher.fault is not None
        assert batcher.fault.model == "hung"
        with pytest.raises(EngineFailed, match="hung"):
            await first
        with pytest.raises(NotReady, match="hung"):
            await second
        batcher.recover()
        assert (await submit(batcher, lane(sound), grey(3))).embedding[0] == 3
        hung.gate.set()
        assert (await submit(batcher, lane(sound), grey(4))).embedding[0] == 4
        assert hung.batches == [(1, Side.LEFT)]

    with_batcher(scenario)


def test_what_other_engines_were_at_when_one_hung_is_to_be_sent_again() -> None:
    async def scenario(batcher: Batcher) -> None:
        hung, sound = MeanEngine(SIDE_BY_SIDE), MeanEngine(SIDE_BY_SIDE)
        tasks = []
        for name, engine in (("hung", hung), ("sound", sound)):
            engine.gate.clear()
            tasks.append(asyncio.create_task(submit(batcher, lane(engine, name=name), grey(1))))
            await entered(engine)
        batcher.condemn_if_stuck(0)
        with pytest.raises(EngineFailed, match="hung"):
            await tasks[0]
        with pytest.raises(NotReady, match="send the request again"):
            await tasks[1]
        hung.gate.set()
        sound.gate.set()

    with_batcher(scenario)


@pytest.mark.parametrize("error", [None, SystemExit("late")], ids=["answers", "dies"])
def test_a_thread_that_was_given_up_ends_without_touching_the_work_of_the_next(
    error: BaseException | None,
) -> None:
    async def scenario(_: Batcher) -> None:
        batcher = Batcher(max_batch=4, threads=1, callers=Callers(), metrics=Metrics())
        hung, sound = MeanEngine(), MeanEngine()
        hung.gate.clear()
        sound.gate.clear()
        first = asyncio.create_task(submit(batcher, lane(hung), grey(1)))
        await entered(hung)
        (old,) = batcher._threads
        batcher.condemn_if_stuck(0)
        with pytest.raises(EngineFailed):
            await first
        batcher.recover()
        second = asyncio.create_task(submit(batcher, lane(sound), grey(2)))
        await entered(sound)
        hung.error = error
        hung.gate.set()
        await asyncio.to_thread(old.join, 30)
        assert not old.is_alive()
        assert batcher.fault is None
        assert batcher.busy_seconds > 0, "the other batch is still in work"
        batch = batcher._schedule.at(0)
        assert batch is not None
        since = batch.since
        batcher._beat(generation=0, number=0)
        assert batch.since == since, "nobody else's call makes it a younger one"
        sound.gate.set()
        assert (await second).embedding[0] == 2
        await batcher.close()

    with_batcher(scenario)


def test_each_call_of_an_engine_has_its_own_time_to_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch with a bad image takes several calls, and is not stuck for their sum."""
    now, busy = 100.0, []

    async def scenario(batcher: Batcher) -> None:
        class Slow(MeanEngine):
            def features(self, batch: np.ndarray, side: Side) -> np.ndarray:
                nonlocal now
                busy.append(batcher.busy_seconds)
                now += 10
                return super().features(batch, side)

        engine = Slow()
        engine.gate.clear()
        only = lane(engine)
        tasks = [asyncio.create_task(submit(batcher, only, grey(0)))]
        await entered(engine)
        rest = (grey(1), grey(MeanEngine.POISON), grey(3))
        tasks += [asyncio.create_task(submit(batcher, only, image)) for image in rest]
        await asyncio.sleep(0)
        engine.gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(answer, EngineFailed) for answer in answers] == [0, 0, 1, 0]
        assert [count for count, _ in engine.batches[:2]] == [1, 3]
        assert len(engine.batches) > 2, "the three were tried again"

    for module in ("batcher", "schedule"):
        monkeypatch.setattr(f"app.inference.{module}.perf_counter", lambda: now)
    with_batcher(scenario)
    assert set(busy) == {0}


def test_an_engine_that_fails_on_everything_is_a_fault_and_one_on_bad_images_is_not() -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = MeanEngine()
        only = lane(engine)
        for _ in range(7):
            with pytest.raises(EngineFailed):
                await submit(batcher, only, grey(MeanEngine.POISON))
        assert batcher.fault is None
        engine.error = RuntimeError("an illegal memory access")
        for _ in range(3):
            with pytest.raises((EngineFailed, NotReady)):
                await submit(batcher, only, grey(1))
        await asyncio.to_thread(wait_until, lambda: batcher.fault is not None)
        assert "fails on every image (RuntimeError)" in batcher.fault.reason

    with_batcher(scenario)
