"""Engines of another process: in a thread where that is enough, in a process where it ends."""

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from threading import Barrier, Event, Thread

import numpy as np
import pytest
import torch

from app.inference.device import client, server
from app.inference.device.client import DeviceFailed, RemoteEngine, RemoteEngines
from app.inference.device.messages import Load, Loaded, Message, receive, send
from app.inference.device.server import DeviceServer
from app.inference.embedder import EncodedImage
from app.inference.engines import Engine, make_engine
from app.inference.engines.base import Concurrency, HasRoom
from app.inference.errors import EngineGone, EngineHung, InferenceError, NotReady
from app.inference.runner import out_of_memory
from app.inference.service import Service, running
from app.observability.metrics import Metrics
from app.settings import Settings
from model_store import Checkpoint, ModelStore
from model_store.network import Side
from model_store.preprocessing import prepare
from tests.app.material import SPEC, fill_store, network, picture, pixels
from tests.app.serving import REPOSITORY, wait_until

MOST = 4


class Noted:
    """An engine that counts, and fails when it is told to."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.device = engine.name, engine.device
        self.precision, self.reason = engine.precision, "noted"
        self.concurrency = Concurrency(streams=2, calls=4, batch=3)
        self.addresses: list[int] = []
        self.error: Exception | None = None
        self.together: Barrier | None = None
        self.closed = Event()

    def features(self, batch: np.ndarray, side: Side) -> np.ndarray:
        self.addresses.append(int(batch.ctypes.data))
        if self.error is not None:
            raise self.error
        if self.together is not None:
            self.together.wait(10)
        return self._engine.features(batch, side)

    def warm_up(self, max_batch: int) -> None:
        self._engine.warm_up(max_batch)

    def close(self) -> None:
        self._engine.close()
        self.closed.set()


@contextlib.contextmanager
def served(folder: Path, store: ModelStore) -> Iterator[tuple[Path, list[Noted]]]:
    """A device server in a thread, and the engines that it makes."""
    made: list[Noted] = []

    def make(checkpoint: Checkpoint) -> Engine:
        engine = make_engine(checkpoint, engine="torch", device="cpu", threads=1, cache=folder)
        made.append(Noted(engine))
        return made[-1]

    path = folder / "device.sock"
    serving = DeviceServer(path, store, make, MOST)
    thread = Thread(target=serving.serve, daemon=True)
    thread.start()
    try:
        yield path, made
    finally:
        serving.close()
        thread.join(10)
        assert not thread.is_alive()


def batch_of(count: int) -> np.ndarray:
    return np.stack([prepare(pixels(seed), SPEC) for seed in range(count)])


def expected(batch: np.ndarray, side: Side = Side.LEFT, **options: int) -> np.ndarray:
    with torch.inference_mode():
        return network(**options).features(torch.from_numpy(batch), side).numpy()


def test_features_are_those_of_the_network(tmp_path: Path) -> None:
    store = fill_store(tmp_path / "store")
    with served(tmp_path, store) as (path, made):
        engine = RemoteEngine(path, store.manifest("tiny"))
        assert (engine.name, engine.device, engine.precision) == ("torch", "cpu", "float32")
        assert engine.reason == "noted"
        assert engine.concurrency == Concurrency(streams=2, calls=4, batch=3)
        for count in (1, MOST, 2 * MOST + 1):
            batch = batch_of(count)
            found = engine.features(batch, Side.LEFT)
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected(batch), rtol=1e-4, atol=1e-5)
        sided = RemoteEngine(path, store.manifest("sided"))
        for side in Side:
            found = sided.features(batch_of(3), side)
            wanted = expected(batch_of(3), side, sides=2, seed=3)
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
        assert len(made) == 2
        engine.close()
        sided.close()


def test_what_lies_in_an_engines_room_is_not_copied(tmp_path: Path) -> None:
    store = fill_store(tmp_path / "store")
    with served(tmp_path, store) as (path, made):
        engine = RemoteEngine(path, store.manifest("tiny"))
        assert isinstance(engine, HasRoom)
        rooms = [engine.room(MOST), engine.room(MOST)]
        assert not np.shares_memory(*rooms)
        for seed, room in enumerate(rooms):
            room[:3] = batch_of(3 + seed)[seed:]
        for seed, room in enumerate(rooms):
            found = engine.features(room[:3], Side.LEFT)
            wanted = expected(batch_of(3 + seed)[seed:])
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
        # Where the other side sees it: each room is a mapping of its own there.
        assert len(set(made[0].addresses)) == 2
        with pytest.raises(ValueError, match=f"takes {MOST}"):
            engine.room(MOST + 1)
        engine.close()


def test_calls_from_several_threads_and_processes_do_not_mix(tmp_path: Path) -> None:
    store = fill_store(tmp_path / "store")
    batch = batch_of(12)
    wanted = expected(batch)
    with served(tmp_path, store) as (path, made):
        engines = [RemoteEngine(path, store.manifest("tiny")) for _ in range(2)]

        def worst(number: int) -> float:
            engine, most = engines[number % 2], 0.0
            room = engine.room(2)
            for turn in range(40):
                at = (number + turn) % 11
                room[:] = batch[at : at + 2]
                found = engine.features(room if number < 4 else room.copy(), Side.LEFT)
                most = max(most, float(np.abs(found - wanted[at : at + 2]).max()))
            return most

        with ThreadPoolExecutor(6) as threads:
            assert max(threads.map(worst, range(6))) < 1e-4
        assert len(made) == 1
        for engine in engines:
            engine.close()


def test_an_engine_is_made_once_and_closed_after_the_last(tmp_path: Path) -> None:
    store = fill_store(tmp_path / "store")
    with served(tmp_path, store) as (path, made):
        with ThreadPoolExecutor(4) as threads:
            engines = list(
                threads.map(lambda _: RemoteEngine(path, store.manifest("tiny")), range(4))
            )
        assert len(made) == 1
        for engine in engines[:3]:
            engine.close()
        engines[3].features(batch_of(1), Side.LEFT)
        assert not made[0].closed.is_set()
        engines[3].close()
        assert made[0].closed.wait(10)
        # And made anew for whoever comes then.
        again = RemoteEngine(path, store.manifest("tiny"))
        again.features(batch_of(1), Side.LEFT)
        assert len(made) == 2
        again.close()


def test_one_that_failed_is_replaced_once_for_all(tmp_path: Path) -> None:
    store = fill_store(tmp_path / "store")
    with served(tmp_path, store) as (path, made):
        one, other = RemoteEngines(path), RemoteEngines(path)
        engines = [each.make(store.manifest("tiny")) for each in (one, other)]
        made[0].error = RuntimeError("the device is gone")
        for engine in engines:
            with pytest.raises(DeviceFailed, match="the device is gone"):
                engine.features(batch_of(1), Side.LEFT)
        replaced = [each.make(store.manifest("tiny")) for each in (one, other)]
        for engine in replaced:
            engine.features(batch_of(1), Side.LEFT)
        assert len(made) == 2
        # What is in use elsewhere, perhaps hanging, is not touched.
        assert not made[0].closed.is_set()


def test_who_still_has_an_engine_that_was_replaced_goes_on_with_it(tmp_path: Path) -> None:
    store = fill_store(tmp_path / "store")
    batch = batch_of(3)
    with served(tmp_path, store) as (path, made):
        failing, sound = RemoteEngines(path), RemoteEngines(path)
        engines = [each.make(store.manifest("tiny")) for each in (failing, sound)]
        engines.append(failing.make(store.manifest("tiny")))
        assert len(made) == 2
        room = engines[1].room(MOST)[:3]
        room[:] = batch
        assert np.allclose(engines[1].features(room, Side.LEFT), expected(batch), atol=1e-5)
        assert (len(made[0].addresses), len(made[1].addresses)) == (1, 0)
        for engine in engines:
            engine.close()


def test_lone_images_do_not_wait_for_each_other(tmp_path: Path) -> None:
    store = fill_store(tmp_path / "store")
    with served(tmp_path, store) as (path, made), ThreadPoolExecutor(4) as callers:
        engine = RemoteEngine(path, store.manifest("tiny"))
        made[0].together = Barrier(engine.concurrency.calls)
        batch = batch_of(engine.concurrency.calls)
        found = callers.map(lambda image: engine.features(image[None], Side.LEFT), batch)
        assert np.allclose(np.concatenate(list(found)), expected(batch), atol=1e-5)
        engine.close()


def test_want_of_memory_is_known_as_such(tmp_path: Path) -> None:
    store = fill_store(tmp_path / "store")
    with served(tmp_path, store) as (path, made):
        engine = RemoteEngine(path, store.manifest("tiny"))
        made[0].error = RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        with pytest.raises(DeviceFailed) as failure:
            engine.features(batch_of(2), Side.LEFT)
        assert out_of_memory(failure.value)
        made[0].error = None
        engine.features(batch_of(2), Side.LEFT)
        engine.close()


def test_why_a_model_cannot_be_had_is_said(tmp_path: Path) -> None:
    store = fill_store(tmp_path / "store")
    with served(tmp_path, store) as (path, _):
        with pytest.raises(InferenceError, match=r"weights\.safetensors"):
            RemoteEngine(path, store.manifest("broken"))
        manifest = store.manifest("tiny")
        with pytest.raises(InferenceError, match="another one now"):
            RemoteEngine(path, manifest.model_copy(update={"description": "Another."}))


def test_who_comes_while_there_is_no_descriptor_left_is_answered_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setattr(server, "_AGAIN_SECONDS", 0.01)
    store = fill_store(tmp_path / "store")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with served(tmp_path, store) as (path, _), socket.socket(socket.AF_UNIX) as early:
        lowest_free = os.dup(early.fileno())
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, before[1]))
        try:
            early.connect(str(path))
            wait_until(lambda: "cannot be taken now" in caplog.text)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        manifest = store.manifest("tiny")
        send(early, Load(manifest.name, manifest.version, manifest.digest))
        assert isinstance(receive(early)[0], Loaded)


def test_who_comes_while_no_thread_can_be_started_may_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fill_store(tmp_path / "store")
    refusals = iter([True])

    class Thread(threading.Thread):
        def start(self) -> None:
            if next(refusals, False):
                raise RuntimeError("can't start new thread")
            super().start()

    monkeypatch.setattr(server, "Thread", Thread)
    monkeypatch.setattr(server, "_AGAIN_SECONDS", 0.01)
    with served(tmp_path, store) as (path, _):
        with pytest.raises(EngineGone):
            RemoteEngine(path, store.manifest("tiny"))
        RemoteEngine(path, store.manifest("tiny")).close()


def test_what_was_replaced_under_the_same_weights_is_another_engine(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    path = store.save("tiny", network()).path
    darker = network(spec=SPEC.model_copy(update={"mean": (0.2,) * 3}))
    other = ModelStore(tmp_path / "other").save("tiny", darker).path
    with served(tmp_path, store) as (device, made):
        before = RemoteEngine(device, store.manifest("tiny"))
        for file in other.iterdir():
            shutil.copy(file, path)
        # As a front-end does that is started before the others have looked.
        engine = RemoteEngine(device, store.manifest("tiny"))
        assert len(made) == 2
        wanted = darker.features(torch.from_numpy(batch_of(3)), Side.LEFT).detach().numpy()
        assert np.allclose(engine.features(batch_of(3), Side.LEFT), wanted, atol=1e-4)
        assert np.allclose(
            before.features(batch_of(3), Side.LEFT), expected(batch_of(3)), atol=1e-4
        )
        for each in (before, engine):
            each.close()


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


@contextlib.contextmanager
def process(path: Path, store: ModelStore) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m app.inference.device` until the block ends."""
    settings = {
        "TWINLENS_MODEL_STORE": str(store.root),
        "TWINLENS_DEVICE": "cpu",
        "TWINLENS_ENGINE": "torch",
        "TWINLENS_MAX_BATCH": str(MOST),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "app.inference.device", str(path)],
        cwd=REPOSITORY,
        env={**os.environ, **settings},
    ) as popen:
        try:
            yield popen
        finally:
            popen.kill()


def test_the_process_ends_and_another_takes_its_place(tmp_path: Path) -> None:
    store = fill_store(tmp_path / "store")
    engines = RemoteEngines(tmp_path / "device.sock")
    with process(tmp_path / "device.sock", store) as popen:
        engine = engines.make(store.manifest("tiny"))
        room = engine.room(MOST)
        room[:2] = batch_of(2)
        found = engine.features(room[:2], Side.LEFT)
        np.testing.assert_allclose(found, expected(batch_of(2)), rtol=1e-4, atol=1e-5)
        assert not engine.ended()
        popen.kill()
        popen.wait(10)
        assert engine.ended()
        for batch in (room[:2], batch_of(2)):
            with pytest.raises(EngineGone, match="does not answer"):
                engine.features(batch, Side.LEFT)
        engine.close()
        assert not engine.ended()
    with process(tmp_path / "device.sock", store) as popen:
        # Asked for before it listens.
        again = engines.make(store.manifest("tiny"))
        again.features(batch_of(2), Side.LEFT)
        popen.send_signal(signal.SIGTERM)
        assert popen.wait(10) == 0


def test_it_does_not_outlive_its_parent(tmp_path: Path) -> None:
    store = fill_store(tmp_path / "store")
    path = tmp_path / "device.sock"
    command = (
        f"import subprocess, sys\nsubprocess.Popen({[sys.executable]} + sys.argv[1:])\ninput()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", command, "-m", "app.inference.device", str(path)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        env={**os.environ, "TWINLENS_MODEL_STORE": str(store.root), "TWINLENS_DEVICE": "cpu"},
    ) as parent:
        wait_until(path.exists)
        engine = RemoteEngine(path, store.manifest("plain"))
        parent.kill()
    with pytest.raises(EngineGone):
        wait_until(lambda: engine.features(batch_of(1), Side.LEFT) is None)


def test_a_service_has_its_images_computed_there_and_mends_itself(tmp_path: Path) -> None:
    store = fill_store(tmp_path / "store")
    path = tmp_path / "device.sock"
    options = {"device": "cpu", "engine": "torch", "max_batch": MOST, "cache_bytes": 0}
    settings = Settings(model_store=store.root, **options)
    images = [EncodedImage("image", picture(seed)) for seed in range(10)]

    async def embedded(service: Service) -> np.ndarray:
        found = [service.inference.embed([image], "tiny") for image in images]
        return np.concatenate([each.embeddings for each in await asyncio.gather(*found)])

    async def used() -> None:
        async with running(settings) as service:
            wanted = await embedded(service)
        with contextlib.ExitStack() as stack:
            popen = stack.enter_context(process(path, store))
            async with running(settings, device_socket=path) as service:
                engine = service.catalogue.find("tiny").engine
                assert isinstance(engine, RemoteEngine)
                np.testing.assert_allclose(await embedded(service), wanted, atol=1e-5)
                popen.kill()
                popen.wait(10)
                with pytest.raises(NotReady, match="has ended"):
                    await embedded(service)
                assert "has ended" in (service.unready_reason() or "")
                stack.enter_context(process(path, store))
                ready = lambda: service.unready_reason() is None  # noqa: E731
                await asyncio.to_thread(wait_until, ready)
                np.testing.assert_allclose(await embedded(service), wanted, atol=1e-5)
                # Its connections are closed, and so at no end any more.
                await asyncio.to_thread(wait_until, lambda: not engine.ended())

    asyncio.run(used())
