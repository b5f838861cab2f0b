"""Engines that compute elsewhere and have ended are mended, as often as they end."""

import asyncio

import pytest

from app.inference.batcher import Batcher
from app.inference.errors import EngineGone, NotReady
from app.inference.lane import Lane
from app.inference.supervisor import Supervisor
from tests.app.inference.batching import submit, with_batcher
from tests.app.inference.supervision import Elsewhere, supervised, until
from tests.app.material import grey, lane
from tests.app.serving import wait_until


def test_what_has_ended_is_mended_as_often_as_it_ends() -> None:
    engine = Elsewhere()

    async def rebuild(model: str) -> None:
        nonlocal engine
        engine = Elsewhere()

    async def scenario(batcher: Batcher, supervisor: Supervisor) -> None:
        for _ in range(3):
            ending = engine
            ending.gate.clear()
            in_work = [
                asyncio.create_task(submit(batcher, lane(ending), grey(n))) for n in range(6)
            ]
            await asyncio.to_thread(ending.entered.acquire)
            ending.gone = True
            ending.gate.set()
            for answer in await asyncio.gather(*in_work, return_exceptions=True):
                assert isinstance(answer, NotReady)
            await until(lambda: batcher.fault is None)
            assert (await submit(batcher, lane(engine), grey(2))).embedding[0] == 2
        assert supervisor.failure is None

    supervised(scenario, rebuild)


def test_what_has_ended_while_idle_is_mended_before_an_image_finds_out() -> None:
    engines = {name: Elsewhere() for name in ("one", "other", "third")}
    first = dict(engines)
    noticed = asyncio.Event()

    async def rebuild(model: str) -> None:
        await noticed.wait()
        engines[model] = Elsewhere()

    def lanes() -> list[Lane]:
        return [lane(engine, name=name) for name, engine in engines.items()]

    async def scenario(batcher: Batcher, supervisor: Supervisor) -> None:
        for name in ("one", "third"):
            engines[name].gone = True
        await until(lambda: batcher.fault is not None)
        with pytest.raises(NotReady, match="'one' has ended"):
            await submit(batcher, lanes()[0], grey(1))
        noticed.set()
        await until(lambda: batcher.fault is None)
        assert not any(engine.gone for engine in engines.values()), "ready before all are"
        for number, each in enumerate(lanes()):
            assert (await submit(batcher, each, grey(number))).embedding[0] == number
        assert supervisor.failure is None

    supervised(scenario, rebuild, lanes=lanes)
    assert engines["other"] is first["other"]
    assert not any(engine.batches for engine in (first["one"], first["third"]))


def test_what_ends_again_while_it_is_mended_is_tried_again() -> None:
    tries = iter([EngineGone("it ended while it loaded"), None])
    engine = Elsewhere()

    async def rebuild(model: str) -> None:
        nonlocal engine
        if (error := next(tries)) is not None:
            raise error
        engine = Elsewhere()

    async def scenario(batcher: Batcher, supervisor: Supervisor) -> None:
        engine.gone = True
        with pytest.raises(NotReady):
            await submit(batcher, lane(engine), grey(1))
        await until(lambda: batcher.fault is None)
        assert (await submit(batcher, lane(engine), grey(2))).embedding[0] == 2
        assert supervisor.failure is None

    metrics = supervised(scenario, rebuild)
    labels = {"model": "mean", "result": "mended"}
    assert metrics.registry.get_sample_value("twinlens_engine_rebuilds_total", labels) == 1


def test_who_looks_again_finds_the_fault_that_there_is() -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = Elsewhere()
        engine.gone = True
        only = lane(engine)
        batcher.condemn_if_ended([only])
        fault = batcher.fault
        batcher.condemn_if_ended([only])
        assert fault is not None
        assert batcher.fault is fault

    with_batcher(scenario)


def test_there_is_no_recovery_while_another_engine_has_ended() -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = Elsewhere()
        engine.gone = True
        batcher.recover([lane(engine)])
        assert batcher.fault is not None
        assert batcher.fault.gone

    with_batcher(scenario)


def test_an_engine_that_has_ended_is_let_go() -> None:
    async def scenario(batcher: Batcher) -> None:
        engine = Elsewhere()
        engine.gone = True
        only = lane(engine)
        with pytest.raises(NotReady):
            await submit(batcher, only, grey(1))
        await asyncio.to_thread(wait_until, only.users.retire)

    with_batcher(scenario)
