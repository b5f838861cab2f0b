"""What a front-end does where the device process hangs."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from threading import Thread

import pytest

from app.inference.device import client
from app.inference.device.client import RemoteEngine
from app.inference.device.messages import Loaded, Message, receive, send
from app.inference.engines.base import Concurrency
from app.inference.errors import EngineHung
from app.inference.service import Service
from app.observability.metrics import Metrics
from app.settings import Settings
from tests.app.inference.device.served import MOST
from tests.app.material import fill_store


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


def test_where_no_model_can_be_had_of_a_device_process_that_hangs_the_front_end_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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

    with mute(path, []):
        asyncio.run(used())
