"""Faults of every kind, one after the other: each image gets one answer, and the right one."""

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.inference import supervisor as module
from app.inference.batcher import Batcher
from app.inference.errors import EngineFailed, NotReady
from app.inference.supervisor import Supervisor
from app.observability.metrics import Metrics
from model_store.preprocessing import Preprocessing
from tests.app.inference.batching import row, submit
from tests.app.inference.supervision import FaultyEngine, supervised, supervision, until
from tests.app.material import DIMENSION, grey, lane, picture

FAULTS = ("none", "none", "raise", "memory", "short", "nan", "hang", "die", "gone")


@settings(max_examples=60)
@given(
    faults=st.lists(st.sampled_from(FAULTS), max_size=12),
    patience=st.lists(st.sampled_from([0.0, 0.002, 20.0, 20.0]), min_size=1, max_size=24),
)
def test_every_image_gets_exactly_one_answer(faults: list[str], patience: list[float]) -> None:
    engine = FaultyEngine(faults)

    async def rebuild(model: str) -> None:
        nonlocal engine
        engine = engine.rebuilt()

    async def one(batcher: Batcher, number: int, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                answer = await submit(batcher, lane(engine), grey(number))
        except (EngineFailed, NotReady):
            return
        except TimeoutError:
            assert seconds < 1
            return
        assert answer.embedding.tolist() == [number] * DIMENSION

    async def scenario(batcher: Batcher, supervisor: Supervisor) -> None:
        tasks = [
            asyncio.create_task(one(batcher, number, seconds))
            for number, seconds in enumerate(patience)
        ]
        done, waiting = await asyncio.wait(tasks, timeout=20)
        assert not waiting
        for task in done:
            task.result()
        assert batcher.depth == 0
        # An image whose client has left may be in work still, and end the thread.
        await until(lambda: batcher.busy_seconds == 0)
        # Whatever happened, it either works again or is declared beyond mending.
        await until(lambda: batcher.fault is None or supervisor.failure is not None)
        if supervisor.failure is None:
            engine.faults.clear()
            engine.released.set()
            # On a busy machine a call that is sound could take longer than that, too.
            supervisor._watchdog_seconds = 30
            assert (await submit(batcher, lane(engine), grey(9))).embedding[0] == 9
        engine.released.set()

    supervised(scenario, rebuild, watchdog_seconds=0.02)


def test_a_broken_engine_is_rebuilt_once_and_the_second_time_is_the_last() -> None:
    engine = FaultyEngine(["die", "none", "hang"])
    rebuilt: list[str] = []

    async def rebuild(model: str) -> None:
        nonlocal engine
        rebuilt.append(model)
        engine = engine.rebuilt()

    async def scenario(batcher: Batcher, supervisor: Supervisor) -> None:
        with pytest.raises(EngineFailed):
            await submit(batcher, lane(engine), grey(1))
        await until(lambda: batcher.fault is None)
        assert supervisor.failure is None
        assert (await submit(batcher, lane(engine), grey(2))).embedding[0] == 2
        with pytest.raises(EngineFailed):
            await submit(batcher, lane(engine), grey(3))
        await until(lambda: supervisor.failure is not None)
        assert "again after it was mended" in supervisor.failure
        with pytest.raises(NotReady):
            await submit(batcher, lane(engine), grey(4))
        engine.released.set()

    metrics = supervised(scenario, rebuild)
    assert rebuilt == ["mean"]
    labels = {"model": "mean", "result": "mended"}
    assert metrics.registry.get_sample_value("twinlens_engine_rebuilds_total", labels) == 1


def test_engines_that_end_together_are_all_rebuilt() -> None:
    rebuilt: list[str] = []

    async def rebuild(model: str) -> None:
        rebuilt.append(model)

    async def scenario(batcher: Batcher, supervisor: Supervisor) -> None:
        for name in ("one", "other"):
            engine = FaultyEngine(["die"])
            with pytest.raises(EngineFailed):
                await submit(batcher, lane(engine, name=name), grey(1))
            await until(lambda: batcher.fault is None)
            mended = lane(engine.rebuilt(), name=name)
            assert (await submit(batcher, mended, grey(2))).embedding[0] == 2
        assert supervisor.failure is None

    supervised(scenario, rebuild)
    assert rebuilt == ["one", "other"]


def test_images_that_were_being_decoded_do_not_break_what_was_mended() -> None:
    broken, sound = FaultyEngine(["raise"] * 99), FaultyEngine([])
    rebuilt: list[str] = []

    async def rebuild(model: str) -> None:
        rebuilt.append(model)

    async def scenario(batcher: Batcher, supervisor: Supervisor) -> None:
        old = lane(broken)
        # Asked for before the fault, and decoded only after it.
        late = [batcher.expect(old) for _ in range(4)]
        for number in range(3):
            with pytest.raises((EngineFailed, NotReady)):
                await submit(batcher, old, grey(number))
        await until(lambda: rebuilt == ["mean"] and batcher.fault is None)
        calls = len(broken.batches)
        for number, slot in enumerate(late):
            batcher.put(slot, grey(number))
            with pytest.raises(NotReady, match="send the request again"):
                await row(batcher, slot)
        assert len(broken.batches) == calls
        assert batcher.fault is None
        assert supervisor.failure is None
        assert (await submit(batcher, lane(sound), grey(5))).embedding[0] == 5

    supervised(scenario, rebuild)
    assert rebuilt == ["mean"]


@pytest.mark.parametrize("how", ["raises", "hangs"])
def test_rebuilding_that_fails_is_the_end(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REBUILD_SECONDS", 0.01)

    async def rebuild(model: str) -> None:
        if how == "raises":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        await asyncio.sleep(30)

    async def scenario(batcher: Batcher, supervisor: Supervisor) -> None:
        with pytest.raises(EngineFailed):
            await submit(batcher, lane(FaultyEngine(["die"])), grey(1))
        await until(lambda: supervisor.failure is not None)
        assert "rebuilding it failed" in supervisor.failure

    metrics = supervised(scenario, rebuild)
    labels = {"model": "mean", "result": "failed"}
    assert metrics.registry.get_sample_value("twinlens_engine_rebuilds_total", labels) == 1


@pytest.mark.parametrize("patience", [0.01, 600.0])
def test_waiting_for_a_model_that_is_being_loaded_is_not_the_time_of_rebuilding(
    patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REBUILD_SECONDS", 0.1)
    monkeypatch.setattr(module, "_TURN_SECONDS", patience)
    rebuilt: list[str] = []

    async def rebuild(model: str) -> None:
        rebuilt.append(model)

    async def scenario(batcher: Batcher, supervisor: Supervisor) -> None:
        with pytest.raises(EngineFailed):
            await submit(batcher, lane(FaultyEngine(["die"])), grey(1))
        await until(lambda: bool(rebuilt) or supervisor.failure is not None)
        assert (supervisor.failure is None) == (patience > 1)

    supervised(scenario, rebuild, turn=0.3)
    assert rebuilt == (["mean"] if patience > 1 else [])


def test_a_device_for_which_no_thread_can_be_started_is_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def rebuild(model: str) -> None:
        pass

    def start(thread: threading.Thread) -> None:
        if thread.name.startswith("twinlens-device-"):
            raise RuntimeError("can't start new thread")
        real(thread)

    real = threading.Thread.start

    async def scenario(batcher: Batcher, supervisor: Supervisor) -> None:
        # As at a container's limit on processes.
        monkeypatch.setattr(threading.Thread, "start", start)
        engine = FaultyEngine(["die"])
        with pytest.raises(EngineFailed):
            await submit(batcher, lane(engine), grey(1))
        await until(lambda: supervisor.failure is not None)
        assert "can't start new thread" in supervisor.failure
        assert supervisor.failure.endswith("the process ends")
        assert batcher.fault is not None
        with pytest.raises(NotReady):
            await submit(batcher, lane(engine.rebuilt()), grey(2))

    supervised(scenario, rebuild)


def test_a_fault_long_after_the_last_is_mended_like_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_TRUST_SECONDS", 0.0)
    rebuilt: list[str] = []

    async def rebuild(model: str) -> None:
        rebuilt.append(model)

    async def scenario(batcher: Batcher, supervisor: Supervisor) -> None:
        for _ in range(3):
            with pytest.raises(EngineFailed):
                await submit(batcher, lane(FaultyEngine(["die"])), grey(1))
            await until(lambda: batcher.fault is None)
        assert supervisor.failure is None

    supervised(scenario, rebuild)
    assert rebuilt == ["mean"] * 3


def test_a_decoder_that_hangs_is_the_end(caplog: pytest.LogCaptureFixture) -> None:
    metrics, gate = Metrics(), threading.Event()
    failed: list[BaseException] = []
    spec = Preprocessing(height=8, width=8, mode="L", mean=(0.0,), std=(1.0,))

    async def rebuild(model: str) -> None:
        raise AssertionError(model)

    async def main() -> None:
        async with supervision(metrics, rebuild, 0.02) as (_, decoder, supervisor):
            # As if decoding had no end: it was never done with the image.
            decoder.start(
                picture(1), spec, done=lambda _: gate.wait(30) and None, failed=failed.append
            )
            await asyncio.wait_for(supervisor.watch(), 30)
            assert supervisor.failure is not None
            assert "decoding has hung" in supervisor.failure
            assert supervisor.failure.endswith("the process ends")
            assert "came to no end" in str(failed[0])
            gate.set()

    asyncio.run(main())
    assert "decoding has hung" in caplog.text
