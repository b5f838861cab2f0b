"""What the device process and those it computes for say to each other, over a Unix socket.

A message is a JSON object behind its length. Images and features do not go this way: they lie in
memory that both see, whose descriptor goes along with one message.
"""

import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

import orjson

from app.inference.engines.base import Concurrency
from model_store.network import Side

_LENGTH = struct.Struct("<I")
_MOST_BYTES = 1 << 20


class Disconnected(ConnectionError):
    """The other side has ended, or says something that is no message."""


@dataclass(frozen=True)
class Load:
    """Asks for an engine.

    Attributes:
        model: The model's name.
        version: Its version.
        digest: Of its manifest.
        instead: The number of an engine that failed, for another one in its place; 0 for any.
    """

    model: str
    version: int
    digest: str
    instead: int = 0


@dataclass(frozen=True)
class Loaded:
    """Describes an engine that is ready.

    Attributes:
        number: Tells it from all others of this process.
        name: As `Engine`.
        device: As `Engine`.
        precision: As `Engine`.
        reason: As `Engine`.
        concurrency: As `Engine`, each length by name.
        max_batch: Most images of a call.
    """

    number: int
    name: str
    device: str
    precision: str
    reason: str
    concurrency: dict[str, int | None]
    max_batch: int

    @property
    def at_once(self) -> Concurrency:
        """The engine's concurrency."""
        return Concurrency(**self.concurrency)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Share:
    """Goes with the descriptor of the memory for calls: images first, then features.

    Attributes:
        images: uint8 values of the images.
        features: float32 values of the features.
    """

    images: int
    features: int


@dataclass(frozen=True)
class Compute:
    """Asks for the features of the first images in the memory.

    Attributes:
        count: How many.
        side: Which side they are on.
    """

    count: int
    side: Side


@dataclass(frozen=True)
class Done:
    """Says that it is done."""


@dataclass(frozen=True)
class Failed:
    """Says why it could not be done.

    Attributes:
        reason: For users or for logs, as the error's kind would have it.
    """

    reason: str


Message = Load | Loaded | Share | Compute | Done | Failed
_KINDS: dict[str, type[Message]] = {
    kind.__name__: kind for kind in (Load, Loaded, Share, Compute, Done, Failed)
}
M = TypeVar("M")


def send(connection: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Sends a message.

    Args:
        connection: A connected Unix socket.
        message: What to say.
        descriptors: Of files that the other side is to have as well.

    Raises:
        OSError: The other side has ended.
    """
    body = orjson.dumps({type(message).__name__: asdict(message)})
    packet = _LENGTH.pack(len(body)) + body
    if descriptors:
        socket.send_fds(connection, [packet], list(descriptors))
    else:
        connection.sendall(packet)


def receive(connection: socket.socket) -> tuple[Message, list[int]]:
    """Waits for a message.

    Returns:
        The message, and the descriptors that came with it, which the caller must close.

    Raises:
        Disconnected: There will be none.
        TimeoutError: None has come for as long as the connection's time-out says.
    """
    try:
        head, descriptors, _, _ = socket.recv_fds(connection, _LENGTH.size, 1)
    except TimeoutError:
        raise
    except OSError as error:
        raise Disconnected(str(error)) from error
    try:
        head += _exactly(connection, _LENGTH.size - len(head), begun=bool(head))
        (length,) = _LENGTH.unpack(head)
        return _parsed(_exactly(connection, length, begun=True)), descriptors
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def expect(message: Message, kind: type[M]) -> M:
    """The message, if it is of a kind.

    Raises:
        Disconnected: It is not.
    """
    if not isinstance(message, kind):
        raise Disconnected(f"{type(message).__name__} in place of {kind.__name__}")
    return message


def _exactly(connection: socket.socket, count: int, *, begun: bool) -> bytes:
    if count > _MOST_BYTES:
        raise Disconnected(f"a message of {count} bytes")
    parts = []
    while count:
        try:
            part = connection.recv(count)
        except TimeoutError:
            raise
        except OSError as error:
            raise Disconnected(str(error)) from error
        if not part:
            raise Disconnected("it ended within a message" if begun else "it ended")
        parts.append(part)
        count -= len(part)
        begun = True
    return b"".join(parts)


def _parsed(body: bytes) -> Message:
    try:
        ((name, fields),) = orjson.loads(body).items()
        message = _KINDS[name](**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Disconnected(f"no message: {error}") from error
    if isinstance(message, Compute):
        return Compute(message.count, Side(message.side))
    return message
