"""A device server in a thread, and engines that count."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Event, Thread

import numpy as np
import torch

from app.inference.device.server import DeviceServer
from app.inference.engines import Engine, make_engine
from app.inference.engines.base import Concurrency
from model_store import Checkpoint, ModelStore
from model_store.network import Side
from model_store.preprocessing import prepare
from tests.app.material import SPEC, network, pixels

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
