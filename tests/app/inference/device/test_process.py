"""The device process: that it ends, and what follows."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.inference.device.client import RemoteEngine, RemoteEngines
from app.inference.embedder import EncodedImage
from app.inference.errors import EngineGone, NotReady
from app.inference.service import Service, running
from app.processes.listening import can_share_ports
from app.settings import Settings
from model_store import ModelStore
from model_store.network import Side
from tests.app.inference.device.served import MOST, batch_of, expected
from tests.app.material import fill_store, picture
from tests.app.serving import REPOSITORY, wait_until

pytestmark = pytest.mark.skipif(not can_share_ports(), reason="needs Linux")


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
