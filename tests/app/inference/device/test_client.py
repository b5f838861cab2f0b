"""What a front-end does where the device process hangs."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest

from app.inference.device import client
from app.inference.device.client import RemoteEngine, RemoteEngines
from app.inference.device.messages import Done, Failed, Loaded, Message, receive, send
from app.inference.engines.base import Concurrency
from app.inference.errors import EngineGone, EngineHung, InferenceError
from app.inference.service import Service
from app.observability.metrics import Metrics
from app.processes.listening import can_share_ports
from app.settings import Settings
from model_store.network import Side
from tests.app.inference.device.served import MOST, batch_of
from tests.app.material import fill_store

pytestmark = pytest.mark.skipif(not can_share_ports(), reason="needs Linux")


@contextlib.contextmanager
def mute(path: Path, says: list[Message]) -> Iterator[None]:
    """A device process that hangs once it has given some answers to the first who connects."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            connections.append(connection)
            for message in says:
                receive(connection)
                send(connection, message)

        connections: list[socket.socket] = []
        thread = Thread(target=answer)
        thread.start()
        try:
            yield
        finally:
            thread.join(10)
            for connection in connections:
                connection.close()


LOADED = Loaded(1, "torch", "cpu", "float32", "noted", asdict(Concurrency(1, 1, 1)), MOST)


@pytest.mark.parametrize("says", [[], [LOADED]], ids=["at once", "after the engine"])
def test_a_device_process_that_hangs_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: list[Message]
) -> None:
    monkeypatch.setattr(client, "_HUNG_SECONDS", 0.1)
    manifest = fill_store(tmp_path / "store").manifest("tiny")
    path = tmp_path / "device.sock"
    with mute(path, says), pytest.raises(EngineHung, match=r"not answered for 0\.1 s .*'tiny'"):
        RemoteEngine(path, manifest)


def test_whoever_makes_an_engine_does_not_wait_for_its_calls_for_ever_and_others_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of others are watched by the watchdog, which knows how long one may take."""
    manifest = fill_store(tmp_path / "store").manifest("tiny")
    path = tmp_path / "device.sock"
    with ThreadPoolExecutor(1) as making, ThreadPoolExecutor(1) as using:
        with mute(path, [LOADED, Done()]):
            engine = making.submit(RemoteEngine, path, manifest).result(20)
            monkeypatch.setattr(client, "_HUNG_SECONDS", 0.1)
            used = using.submit(engine.features, batch_of(1), Side.LEFT)
            with pytest.raises(TimeoutError):
                used.result(0.5)
        with pytest.raises(EngineGone):
            used.result(20)
        monkeypatch.setattr(client, "_HUNG_SECONDS", 600.0)
        path.unlink()
        with mute(path, [LOADED, Done()]):
            engine = making.submit(RemoteEngine, path, manifest).result(20)
            monkeypatch.setattr(client, "_HUNG_SECONDS", 0.1)
            with pytest.raises(EngineHung, match=r"not answered for 0\.1 s"):
                making.submit(engine.features, batch_of(1), Side.LEFT).result(20)
            # What comes late would be taken for the next answer.
            with pytest.raises(EngineGone):
                using.submit(engine.features, batch_of(1), Side.LEFT).result(20)


def test_where_nobody_has_listened_for_ten_minutes_the_device_process_counts_as_hung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0)

    def sleep(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(client, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep))
    monkeypatch.setattr(client, "_AGAIN_SECONDS", 10.0)
    manifest = fill_store(tmp_path / "store").manifest("tiny")
    path = tmp_path / "device.sock"
    engines = RemoteEngines(path)

    def tries() -> float:
        """Until there is no more hope, as the loader does; gives how long that took."""
        begun = clock.now
        for _ in range(20):
            with pytest.raises(InferenceError, match="no device process listens") as failure:
                engines.make(manifest)
            if isinstance(failure.value, EngineHung):
                return clock.now - begun
            sleep(5)
        raise AssertionError("it is tried for ever")

    assert 600 <= tries() <= 700
    damaged = Failed("its weights are damaged")
    with mute(path, [damaged]), pytest.raises(InferenceError, match="are damaged"):
        engines.make(manifest)
    # As it has listened in between, it may take as long again.
    assert 600 <= tries() <= 700


@pytest.mark.parametrize("says", [[], [LOADED, Done()]], ids=["at once", "in a call"])
def test_where_no_model_can_be_had_of_a_device_process_that_hangs_the_front_end_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: list[Message]
) -> None:
    """With the status by which the parent knows to replace the device process as well."""
    monkeypatch.setattr(client, "_HUNG_SECONDS", 0.1)
    store = fill_store(tmp_path / "store")
    path = tmp_path / "device.sock"

    async def used() -> None:
        service = Service(
            Settings(model_store=store.root, device="cpu"), Metrics(), device_socket=path
        )
        service.start()
        try:
            await asyncio.wait_for(service.first_look(), 20)
            assert "the device process has not answered" in (service.failure or "")
        finally:
            await service.close()

    with mute(path, says):
        asyncio.run(used())
