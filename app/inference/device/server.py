"""The process that computes: engines for whoever connects, each made once for all of them."""

import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from threading import Event, Lock, Thread

import torch

from app.inference.device.memory import SharedMemory
from app.inference.device.messages import (
    Compute,
    Disconnected,
    Done,
    Failed,
    Load,
    Loaded,
    Message,
    Share,
    expect,
    receive,
    send,
)
from app.inference.engines import Engine
from app.inference.slices import compute_in_long_slices
from app.observability.logs import fields
from model_store import Checkpoint
from model_store.errors import TwinlensError
from model_store.reader import StoreReader
from model_store.shortage import out_of_memory

_logger = logging.getLogger(__name__)

Make = Callable[[Checkpoint], Engine]
"""Makes a warm engine of a checkpoint."""

_Key = tuple[str, int, str]
"""Name, version and the manifest's digest: what is fed to a network hangs on more than its weights.
"""

_AGAIN_SECONDS = 0.5


@dataclass(eq=False)
class _Held:
    """An engine, and how many connections hold it."""

    key: _Key
    number: int
    engine: Engine
    checkpoint: Checkpoint
    holders: int = 1


class DeviceServer:
    """Makes engines of what a store holds, and computes with them, a thread for a connection.

    A connection asks for an engine, shares memory, and then has batches computed that lie in it.
    An engine is closed once its last connection has ended.

    Args:
        path: Of the Unix socket, in a folder that others cannot enter: whoever can connect can
            have computed what he likes.
        store: Where models are.
        make: Makes engines.
        max_batch: Most images of a call.
    """

    def __init__(self, path: Path, store: StoreReader, make: Make, max_batch: int) -> None:
        self._store = store
        self._make = make
        self._max_batch = max_batch
        # From anywhere on: not those that a process before this one gave.
        self._numbers = count(secrets.randbits(48))
        self._lock = Lock()
        self._engines: dict[_Key, _Held] = {}
        # Kernels can be recorded for one engine at a time, and with no other one's memory given
        # back meanwhile.
        self._making = Lock()
        self._closed = Event()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()  # Of a process before, which has ended.
        self._listener.bind(str(path))
        self._listener.listen(1024)

    def serve(self) -> None:
        """Answers until `close`."""
        while not self._closed.is_set():
            try:
                self._accept()
            # There is no descriptor or thread left for it; as others end there will be.
            except (OSError, RuntimeError) as error:
                if not self._closed.wait(_AGAIN_SECONDS):
                    _logger.warning("a connection cannot be taken now: %s", error)

    def close(self) -> None:
        """Takes no more connections."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        try:
            Thread(target=self._answer, args=(connection,), daemon=True).start()
        except RuntimeError:
            connection.close()
            raise

    def _answer(self, connection: socket.socket) -> None:
        compute_in_long_slices()
        with connection:
            try:
                message, _ = receive(connection)
                asked = expect(message, Load)
                try:
                    held = self._hold(asked)
                except Exception as error:
                    _logger.exception("no engine", extra=fields(model=asked.model))
                    send(connection, _failure(error))
                    return
                try:
                    send(connection, self._description(held))
                    self._compute(connection, held)
                finally:
                    self._let_go(held)
            except Disconnected:
                pass
            except OSError as error:
                _logger.warning("a connection has broken: %s", error)

    def _compute(self, connection: socket.socket, held: _Held) -> None:
        message, descriptors = receive(connection)
        try:
            memory = SharedMemory(expect(message, Share), *descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        manifest = held.checkpoint.manifest
        images = memory.images(manifest.preprocessing.shape)
        features = memory.features(manifest.dimension)
        with _fetched_from(memory, held.engine.device):
            send(connection, Done())
            while True:
                asked = expect(receive(connection)[0], Compute)
                answer: Message = Done()
                try:
                    batch = images[: asked.count]
                    features[: asked.count] = held.engine.features(batch, asked.side)
                except Exception as error:
                    _logger.exception("a call has failed", extra=fields(model=manifest.name))
                    answer = _failure(error)
                    if out_of_memory(error) and held.engine.device.startswith("cuda"):
                        torch.cuda.empty_cache()
                send(connection, answer)

    def _hold(self, asked: Load) -> _Held:
        key = (asked.model, asked.version, asked.digest)
        held = self._held(key, asked.instead)
        if held is None:
            with self._making:
                held = self._held(key, asked.instead) or self._made(key)
                with self._lock:
                    self._engines[key] = held
        return held

    def _held(self, key: _Key, instead: int) -> _Held | None:
        """The engine that there is, held once more; one that failed is let be: it may hang."""
        with self._lock:
            held = self._engines.get(key)
            if held is None or held.number == instead:
                return None
            held.holders += 1
            return held

    def _made(self, key: _Key) -> _Held:
        name, version, digest = key
        checkpoint = self._store.load(name, version)
        if checkpoint.manifest.digest != digest:
            raise TwinlensError(
                f"{name} version {version} is another one now than when it was asked for; it is "
                "tried again"
            )
        held = _Held(key, next(self._numbers), self._make(checkpoint), checkpoint)
        _logger.info(
            "engine made",
            extra=fields(
                model=name,
                version=version,
                engine=held.engine.name,
                device=held.engine.device,
                precision=held.engine.precision,
                reason=held.engine.reason,
            ),
        )
        return held

    def _let_go(self, held: _Held) -> None:
        with self._lock:
            held.holders -= 1
            if held.holders:
                return
            # Another one may have taken its place meanwhile.
            if self._engines.get(held.key) is held:
                del self._engines[held.key]
        with self._making:
            held.engine.close()

    def _description(self, held: _Held) -> Loaded:
        engine = held.engine
        return Loaded(
            held.number,
            engine.name,
            engine.device,
            engine.precision,
            engine.reason,
            asdict(engine.concurrency),
            self._max_batch,
        )


@contextlib.contextmanager
def _fetched_from(memory: SharedMemory, device: str) -> Iterator[None]:
    """Has a CUDA device fetch images from the memory by itself, while the block runs."""
    if not device.startswith("cuda"):
        yield
        return
    runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    address, size = memory.whole.ctypes.data, memory.whole.nbytes
    locked = int(runtime.cudaHostRegister(address, size, 0)) == 0
    if not locked:
        _logger.warning("memory cannot be locked, so that images are copied once more")
    try:
        yield
    finally:
        if locked:
            runtime.cudaHostUnregister(address)


def _failure(error: Exception) -> Failed:
    known = isinstance(error, TwinlensError)
    return Failed(str(error) if known else f"{type(error).__name__}: {error}")
