"""Engines of another process: in a thread where that is enough, in a process where it ends."""

import os
import resource
import shutil
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch

from app.inference.device import server
from app.inference.device.client import DeviceFailed, RemoteEngine, RemoteEngines
from app.inference.device.messages import Load, Loaded, receive, send
from app.inference.engines.base import Concurrency, HasRoom
from app.inference.errors import EngineGone, InferenceError
from app.processes.listening import can_share_ports
from model_store import ModelStore
from model_store.network import Side
from model_store.shortage import out_of_memory
from tests.app.inference.device.served import MOST, batch_of, expected, served
from tests.app.material import SPEC, fill_store, network
from tests.app.serving import wait_until

pytestmark = pytest.mark.skipif(not can_share_ports(), reason="needs Linux")


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


def test_one_that_was_replaced_is_closed_after_its_last_holder(tmp_path: Path) -> None:
    store = fill_store(tmp_path / "store")
    manifest = store.manifest("tiny")
    with served(tmp_path, store) as (path, made):
        # As two front-ends do whose version's files were copied over themselves.
        both = RemoteEngines(path), RemoteEngines(path)
        before = [each.make(manifest) for each in both]
        after = [each.make(manifest) for each in both]
        assert len(made) == 2
        before[0].close()
        before[1].features(batch_of(1), Side.LEFT)
        assert not made[0].closed.is_set()
        before[1].close()
        assert made[0].closed.wait(10)
        for engine in after:
            engine.features(batch_of(1), Side.LEFT)
            engine.close()
        assert made[1].closed.wait(10)


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
