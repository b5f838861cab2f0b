"""Front-ends of one service that ask each other, all in one event loop."""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.inference.errors import NotReady
from app.observability.metrics import Metrics
from app.processes import siblings as module
from app.processes.folder import Folder
from app.processes.siblings import SocketSiblings
from tests.app.processes.test_exposition import values


class Store:
    """A service of which its metrics, its looks through the store and its readiness are wanted."""

    def __init__(self, requests: int = 0, error: Exception | None = None) -> None:
        self.metrics = Metrics()
        for _ in range(requests):
            self.metrics.request("/compare", "POST", 200, 0.01)
        self.looks = 0
        self.unready: str | None = None
        self.metrics.watch("twinlens_ready", "Ready.", lambda: float(self.unready is None))
        self.looked = asyncio.Event()
        self.looked.set()
        self._error = error

    async def look(self) -> SimpleNamespace:
        if self._error is not None:
            raise self._error
        self.looks += 1
        return SimpleNamespace()

    async def first_look(self) -> None:
        await self.looked.wait()

    def unready_reason(self) -> str | None:
        return self.unready


def siblings_of(path: Path, number: int, processes: int) -> SocketSiblings:
    return SocketSiblings(Folder(path), number, processes, parent=os.getpid())


@contextlib.asynccontextmanager
async def running(path: Path, *stores: Store) -> AsyncIterator[list[SocketSiblings]]:
    made = [siblings_of(path, number, len(stores)) for number in range(len(stores))]
    for siblings, store in zip(made, stores, strict=True):
        await siblings.open(store)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        for siblings in made:
            await siblings.close()


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes questions and answers none."""
    with contextlib.closing(writer):
        await reader.read()


def requests(exposition: str) -> float:
    labels = (("method", "POST"), ("route", "/compare"), ("status", "200"))
    return values(exposition)["twinlens_requests_total", labels]


def readiness(exposition: str) -> float:
    return values(exposition)["twinlens_ready", ()]


def answering(exposition: str) -> float:
    return values(exposition)["twinlens_processes_answering", ()]


def test_any_of_them_tells_the_metrics_of_all(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path, Store(3), Store(4), Store(5)) as made:
            for siblings in made:
                told = await siblings.exposition()
                assert requests(told) == 12
                assert answering(told) == 3

    asyncio.run(run())


def test_those_who_ask_at_once_get_one_answer_and_the_loop_goes_on_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(3)
    begun: list[None] = []
    may_end = threading.Event()
    exposition = store.metrics.exposition

    def slow() -> bytes:
        begun.append(None)
        assert may_end.wait(20), "the loop stands"
        return exposition()

    async def run() -> None:
        async with running(tmp_path, store, Store(4)) as (one, two):
            monkeypatch.setattr(store.metrics, "exposition", slow)
            asked = [asyncio.create_task(each.exposition()) for each in (one, two, one, one)]
            while not begun:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            asked.pop().cancel()
            assert await one.unready_reason() is None
            may_end.set()
            told = await asyncio.gather(*asked)
            assert [requests(text) for text in told] == [7, 7, 7]
            assert len(begun) == 1
            # Who asks later is told of what was counted since.
            store.metrics.request("/compare", "POST", 200, 0.01)
            assert requests(await one.exposition()) == 8
        assert requests(Folder(tmp_path).record(0).read_text()) == 4

    asyncio.run(run())


def test_one_whose_models_are_many_has_time_to_tell_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Store(4)
    exposition = other.metrics.exposition

    def long() -> bytes:
        time.sleep(1.1)
        return exposition()

    async def run() -> None:
        async with running(tmp_path, Store(3), other) as (one, _):
            monkeypatch.setattr(other.metrics, "exposition", long)
            told = await one.exposition()
            assert (requests(told), answering(told)) == (7, 2)

    asyncio.run(run())


def test_what_was_counted_once_is_never_forgotten(tmp_path: Path, caplog) -> None:
    async def run() -> None:
        async with running(tmp_path, Store(3), Store(4)) as (one, two):
            assert requests(await one.exposition()) == 7
            await two.close()
            gone = await one.exposition()
            assert (requests(gone), answering(gone)) == (7, 1)
            successor = siblings_of(tmp_path, 1, 2)
            await successor.open(Store(10))  # type: ignore[arg-type]
            for _ in range(2):
                back = await one.exposition()
                assert (requests(back), answering(back)) == (17, 2)
                assert requests(await successor.exposition()) == 17
            await successor.close()
            third = siblings_of(tmp_path, 1, 2)
            await third.open(Store(100))  # type: ignore[arg-type]
            assert requests(await one.exposition()) == 117
            await third.close()

    asyncio.run(run())
    assert "front-end 1 does not answer" in caplog.text


def test_metrics_that_cannot_be_kept_are_told_and_a_warning_comes_once(
    tmp_path: Path, caplog
) -> None:
    incoming = Folder(tmp_path).record(0).with_suffix(".incoming")

    async def run() -> None:
        async with running(tmp_path, Store(3), Store(4)) as (one, two):
            for times in (1, 2):
                incoming.symlink_to("/dev/full")  # As a write to a full disk ends.
                for siblings in (one, two, one):
                    assert requests(await siblings.exposition()) == 7
                assert caplog.text.count("cannot be kept") == times
                incoming.unlink()
                assert requests(await one.exposition()) == 7

    asyncio.run(run())


def test_one_that_is_mute_is_waited_for_no_longer_than_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setattr(module, "_METRICS_SECONDS", 0.05)

    async def run() -> None:
        async with running(tmp_path, Store(3), Store(4)) as (one, two):
            await two.close()
            Folder(tmp_path).socket(1).unlink(missing_ok=True)
            server = await asyncio.start_unix_server(mute, Folder(tmp_path).socket(1))
            told = await asyncio.wait_for(one.exposition(), 20)
            assert (requests(told), answering(told)) == (3, 1)
            server.close()

    asyncio.run(run())
    assert "within 0.05 s" in caplog.text


def test_one_that_hangs_makes_the_service_unready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_READY_SECONDS", 0.05)
    monkeypatch.setattr(module, "_METRICS_SECONDS", 0.05)
    monkeypatch.setattr(module, "_HUNG_SECONDS", 2.0)

    async def run() -> None:
        async with running(tmp_path, Store(), Store()) as (one, two):
            assert await one.unready_reason() is None
            await two.close()
            Folder(tmp_path).socket(1).unlink(missing_ok=True)
            assert await one.unready_reason() is None, "nobody listens"
            server = await asyncio.start_unix_server(mute, Folder(tmp_path).socket(1))
            assert await one.unready_reason() is None, "it may be busy for a moment"
            assert readiness(await one.exposition()) == 1
            await asyncio.sleep(2.0)
            assert "front-end 1 did not answer" in (await one.unready_reason() or "")
            told = await one.exposition()
            assert (readiness(told), answering(told)) == (0, 1)
            server.close()
            Folder(tmp_path).socket(1).unlink(missing_ok=True)
            again = siblings_of(tmp_path, 1, 2)
            await again.open(Store())  # type: ignore[arg-type]
            assert await one.unready_reason() is None
            assert readiness(await one.exposition()) == 1
            await again.close()
            Folder(tmp_path).socket(1).unlink(missing_ok=True)
            busy = await asyncio.start_unix_server(mute, Folder(tmp_path).socket(1))
            assert await one.unready_reason() is None, "it has answered in between"
            busy.close()

    asyncio.run(run())


def test_two_busy_moments_are_no_hanging_though_nobody_has_asked_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_READY_SECONDS", 0.05)
    monkeypatch.setattr(module, "_HUNG_SECONDS", 0.5)

    async def run() -> None:
        free, answered = asyncio.Event(), asyncio.Event()

        async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer):
                await reader.readline()
                await free.wait()
                writer.write(b"OK 0\n")
                answered.set()

        async with running(tmp_path, Store(), Store()) as (one, two):
            await two.close()
            Folder(tmp_path).socket(1).unlink(missing_ok=True)
            server = await asyncio.start_unix_server(busy, Folder(tmp_path).socket(1))
            assert await one.unready_reason() is None
            free.set()
            await answered.wait()
            # Another process's probes are answered meanwhile, of which this one knows nothing.
            await asyncio.sleep(0.6)
            free.clear()
            assert await one.unready_reason() is None
            await asyncio.sleep(0.6)
            assert "front-end 1 did not answer" in (await one.unready_reason() or "")
            free.set()
            server.close()

    asyncio.run(run())


@pytest.mark.parametrize("reply", [b"OK 100\ntwinlens_ready 1", b"", b"OK\n", b"nonsense"])
def test_half_an_answer_is_none(tmp_path: Path, reply: bytes) -> None:
    async def run() -> None:
        async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer):
                await reader.readline()
                writer.write(reply)
                await writer.drain()

        async with running(tmp_path, Store(3), Store(4)) as (one, two):
            await two.close()
            Folder(tmp_path).socket(1).unlink(missing_ok=True)
            server = await asyncio.start_unix_server(half, Folder(tmp_path).socket(1))
            told = await one.exposition()
            assert (requests(told), answering(told)) == (3, 1)
            server.close()

    asyncio.run(run())


def test_all_others_look_and_who_cannot_is_named_in_the_log(tmp_path: Path, caplog) -> None:
    stores = Store(), Store(), Store(error=NotReady("about to end")), Store(error=KeyError("x"))

    async def run() -> None:
        async with running(tmp_path, *stores) as made:
            await made[0].look()

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert [store.looks for store in stores] == [0, 1, 0, 0]
    assert "front-end 2: about to end" in caplog.text
    assert "front-end 3: 'x'" in caplog.text
    assert "front-end 1" not in caplog.text


@pytest.mark.parametrize("ready", [True, False])
def test_who_comes_later_waits_for_its_models_while_another_is_ready(
    tmp_path: Path, ready: bool
) -> None:
    first, second = Store(), Store()
    first.unready = None if ready else "models are being loaded"
    second.looked.clear()

    async def run() -> None:
        one, two = (siblings_of(tmp_path, number, 2) for number in range(2))
        await one.open(first)  # type: ignore[arg-type]
        opening = asyncio.create_task(two.open(second))  # type: ignore[arg-type]
        if ready:
            # It answers already, and so has gone as far as it can.
            while not Folder(tmp_path).socket(1).exists():  # noqa: ASYNC110
                await asyncio.sleep(0)
            assert answering(await one.exposition()) == 2
            assert not opening.done()
            # Nothing comes to it yet, so that it is in nobody's way.
            second.unready = "models are being loaded"
            assert await one.unready_reason() is None
            assert readiness(await one.exposition()) == 1
            second.looked.set()
        async with asyncio.timeout(20):
            await opening
        second.unready = "it hangs"
        assert await one.unready_reason() == "it hangs"
        assert readiness(await one.exposition()) == 0
        second.unready = None
        assert await one.unready_reason() is None
        assert await two.unready_reason() == first.unready
        await one.close()
        await two.close()

    asyncio.run(run())


def test_who_comes_later_waits_for_as_long_as_another_is_ready_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HUNG_SECONDS", 0.3)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.02)
    first, second = Store(), Store()
    second.looked.clear()
    second.unready = "models are being loaded"

    async def run() -> None:
        one, two = (siblings_of(tmp_path, number, 2) for number in range(2))
        await one.open(first)  # type: ignore[arg-type]
        opening = asyncio.create_task(two.open(second))  # type: ignore[arg-type]
        for unready in (None, "busy", None):
            # For a moment only, at most.
            first.unready = unready
            await asyncio.sleep(0.03 if unready else 0.4)
            assert not opening.done()
        assert await one.unready_reason() is None
        first.unready = "it has lost its models"
        async with asyncio.timeout(2):
            await opening
        assert await one.unready_reason() == "models are being loaded"
        await one.close()
        await two.close()

    asyncio.run(run())
