"""The engine of a process that has its batches computed by another one."""

import os
import socket
import time
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, get_ident

import numpy as np

from app.inference.device.memory import SharedMemory, make_memory
from app.inference.device.messages import (
    Compute,
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
from app.inference.engines.base import Features, UInt8Batch
from app.inference.errors import EngineGone, EngineHung, InferenceError
from model_store import Manifest
from model_store.network import Side

_PATIENCE_SECONDS = 90.0
_AGAIN_SECONDS = 0.2

_HUNG_SECONDS = 600.0
"""Until what was asked for an engine counts as hung.

It may convert a network first, and has others' to make before. The largest that ship take seconds.
"""

_SPARE_IMAGES = 8
"""Images that the memory holds which no thread has for itself. On CUDA memory is page-locked."""


class DeviceFailed(RuntimeError):
    """A call failed in the device process."""


class _NobodyListens(InferenceError):
    """There is no device process, or it has not come so far."""


class _Line:
    """A connection that holds an engine, and the memory for one call at a time over it."""

    def __init__(self, connection: socket.socket, manifest: Manifest, most: int) -> None:
        self._connection = connection
        shape, dimension = manifest.preprocessing.shape, manifest.dimension
        share = Share(most * int(np.prod(shape)), most * dimension)
        descriptor = make_memory(share)
        try:
            memory = SharedMemory(share, descriptor)
            send(connection, share, [descriptor])
        finally:
            os.close(descriptor)
        self.most = most
        self.images = memory.images(shape)
        self._features = memory.features(dimension)
        _answered(connection)
        # `ended` would wait for as long, too.
        connection.settimeout(None)

    @property
    def address(self) -> int:
        """Where the images lie."""
        return int(self.images.ctypes.data)

    def compute(self, count: int, side: Side, seconds: float | None) -> Features:
        """The features of the first images that lie in the memory.

        Raises:
            TimeoutError: They took longer than so many seconds. What comes late would be taken for
                the next answer.
        """
        self._connection.settimeout(seconds)
        try:
            send(self._connection, Compute(count, side))
            _answered(self._connection)
        finally:
            self._connection.settimeout(None)
        return self._features[:count].copy()

    def ended(self) -> bool:
        """Whether the other side has closed the connection."""
        try:
            return not self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        self._connection.close()


class RemoteEngine:
    """Has batches computed by an engine of the device process.

    Images are put together in memory that both processes see (`room`), so that none is copied on
    the way.

    Args:
        path: The device process's socket.
        manifest: Of the model.
        instead: The number of an engine that failed, for another one in its place; 0 for any.

    Attributes:
        name: As the other process's engine, as are those that follow.
        device: Where that runs.
        precision: What that computes in.
        reason: Why that was chosen.
        concurrency: What that takes at once, all processes together.
        number: Tells that engine from others of its process.

    Raises:
        InferenceError: There is no such engine, or no device process.
        EngineGone: The device process ended meanwhile.
        EngineHung: It does not answer.
    """

    def __init__(self, path: Path, manifest: Manifest, instead: int = 0) -> None:
        self._path = path
        self._manifest = manifest
        self._maker = get_ident()
        first, loaded = self._connected(instead, patience=_PATIENCE_SECONDS)
        self.number = loaded.number
        self.name = loaded.name
        self.device = loaded.device
        self.precision = loaded.precision
        self.reason = loaded.reason
        self.concurrency = loaded.at_once
        self._most = loaded.max_batch
        self._lock = Lock()
        self._closed = False
        self._all: list[_Line] = []
        # Lines that belong to no thread's room.
        self._spare: SimpleQueue[_Line] = SimpleQueue()
        spare = min(self._most, _SPARE_IMAGES)
        self._spare.put(self._kept(self._shared(first, spare)))
        for _ in range(self.concurrency.calls - 1):
            self._spare.put(self._kept(self._line(spare)))
        self._rooms: dict[int, _Line] = {}

    def room(self, most: int) -> UInt8Batch:
        """Memory for batches of up to `most` images, from which `features` takes them uncopied.

        For one thread: what lies in it must stay as it is during a call.

        Returns:
            uint8 (most, height, width, channels).
        """
        if most > self._most:
            raise ValueError(f"{most} images at once, and the device process takes {self._most}")
        try:
            line = self._kept(self._line(most))
        except InferenceError:
            # Where the engine was replaced for another process, this one's still serves by the
            # lines it has; and where the device process has ended, these tell.
            return np.empty((most, *self._manifest.preprocessing.shape), np.uint8)
        with self._lock:
            self._rooms[line.address] = line
        return line.images

    def features(self, batch: UInt8Batch, side: Side) -> Features:
        """As `Engine.features`.

        Raises:
            DeviceFailed: It failed there.
            EngineGone: The device process has ended.
            EngineHung: It does not answer; the engine is closed.
        """
        # How long a call may take is the watchdog's to say, which sees none of the thread that made
        # the engine: that one tries it before it is anybody's.
        seconds = _HUNG_SECONDS if get_ident() == self._maker else None
        try:
            own = self._rooms.get(int(batch.ctypes.data))
            if own is not None:
                return own.compute(len(batch), side, seconds)
            line = self._spare.get()
            try:
                parts = []
                for start in range(0, len(batch), line.most):
                    part = batch[start : start + line.most]
                    line.images[: len(part)] = part
                    parts.append(line.compute(len(part), side, seconds))
                return parts[0] if len(parts) == 1 else np.concatenate(parts)
            finally:
                self._spare.put(line)
        except TimeoutError as error:
            self.close()
            raise self._hung() from error
        except OSError as error:
            raise EngineGone(f"the device process does not answer ({error})") from error

    def ended(self) -> bool:
        """As `MayEnd`."""
        with self._lock:
            return not self._closed and any(line.ended() for line in self._all)

    def warm_up(self, max_batch: int) -> None:
        """Nothing: the other process's engine is warm."""

    def close(self) -> None:
        """Lets go of the engine, which ends when no process holds it any more."""
        with self._lock:
            self._closed = True
            for line in self._all:
                line.close()

    def _kept(self, line: _Line) -> _Line:
        with self._lock:
            self._all.append(line)
            if self._closed:
                line.close()
        return line

    def _line(self, most: int) -> _Line:
        connection, loaded = self._connected()
        if loaded.number != self.number:
            connection.close()
            raise InferenceError("the device process has another engine for this model by now")
        return self._shared(connection, most)

    def _shared(self, connection: socket.socket, most: int) -> _Line:
        try:
            return _Line(connection, self._manifest, most)
        except TimeoutError as error:
            connection.close()
            raise self._hung() from error
        except OSError as error:
            connection.close()
            raise EngineGone(f"the device process does not answer ({error})") from error

    def _connected(
        self, instead: int = 0, *, patience: float = 0.0
    ) -> tuple[socket.socket, Loaded]:
        """A connection that holds the engine, and what it is."""
        manifest = self._manifest
        asked = Load(manifest.name, manifest.version, manifest.digest, instead)
        connection = _connect(self._path, patience)
        try:
            send(connection, asked)
            answer, _ = receive(connection)
        except TimeoutError as error:
            connection.close()
            raise self._hung() from error
        except OSError as error:
            connection.close()
            raise EngineGone(
                f"the device process ended while it loaded model '{manifest.name}' ({error}); its "
                "log has the reason"
            ) from error
        if isinstance(answer, Loaded):
            return connection, answer
        connection.close()
        raise InferenceError(
            answer.reason if isinstance(answer, Failed) else "the device process talks nonsense"
        )

    def _hung(self) -> EngineHung:
        return EngineHung(
            f"the device process has not answered for {_HUNG_SECONDS:g} s to a request for model "
            f"'{self._manifest.name}'"
        )


def _connect(path: Path, patience: float) -> socket.socket:
    """Connects, or waits for the device process to listen: it may just be starting again."""
    end = time.monotonic() + patience
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_HUNG_SECONDS)
        try:
            connection.connect(str(path))
        except OSError as error:
            connection.close()
            if time.monotonic() >= end:
                raise _NobodyListens(
                    f"no device process listens on {path} ({error}); its log has the reason"
                ) from error
            time.sleep(_AGAIN_SECONDS)
        else:
            return connection


def _answered(connection: socket.socket) -> None:
    """Waits until the other side is done.

    Raises:
        DeviceFailed: It failed.
        OSError: It has ended.
    """
    answer: Message = receive(connection)[0]
    if isinstance(answer, Failed):
        raise DeviceFailed(answer.reason)
    expect(answer, Done)


class RemoteEngines:
    """Makes engines that ask the device process. Used by one thread at a time.

    Args:
        path: Its socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbers: dict[tuple[str, int], int] = {}
        self._unheard_since: float | None = None

    def make(self, manifest: Manifest) -> RemoteEngine:
        """An engine for a model; another one each time, since nobody asks twice without need.

        Raises:
            InferenceError: It cannot be had; `EngineHung` where nothing can be had at all.
        """
        key = (manifest.name, manifest.version)
        since, self._unheard_since = self._unheard_since, None
        if since is None:
            since = time.monotonic()
        try:
            engine = RemoteEngine(self._path, manifest, self._numbers.get(key, 0))
        except _NobodyListens as error:
            self._unheard_since = since
            # It may hang as it starts, which nobody else notices.
            if time.monotonic() - since >= _HUNG_SECONDS:
                raise EngineHung(f"{error}; so it has been for {_HUNG_SECONDS:g} s") from error
            raise
        self._numbers[key] = engine.number
        return engine
