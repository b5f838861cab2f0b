"""What is done with a connection beside HTTP: when it is read, timed, looked at."""

import contextlib
import select
import socket
from asyncio import AbstractEventLoop, TimerHandle, Transport
from collections.abc import Callable, Sized
from dataclasses import dataclass

from uvicorn.protocols.http.flow_control import FlowControl


@dataclass(slots=True)
class Outlet:
    """What uvicorn's writer of an answer has of a transport.

    Attributes:
        write: As the transport's.
        close: Called at the answer's end, if it is the connection's last; closing at once is not
            always right then.
        is_closing: Whether nothing may be written any more.
    """

    write: Callable[[bytes], None]
    close: Callable[[], None]
    is_closing: Callable[[], bool]


class Flow(FlowControl):
    """Reads on only once no request that was read waits for its turn.

    uvicorn reads on at every answer, and whenever a request is asked whether its client is still
    there: each time, more requests come to wait.

    Args:
        transport: What is read from.
        waiting: The requests that wait.
    """

    def __init__(self, transport: Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Reads on, if it is time."""
        if not self._waiting:
            super().resume_reading()


class Timer:
    """Waits for one thing at a time.

    Args:
        loop: Whose time it is.
        seconds: How long it waits.
    """

    def __init__(self, loop: AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._handle: TimerHandle | None = None

    def start(self, then: Callable[[], None]) -> None:
        """Calls it if nothing stops the timer, or starts it again, in time."""
        self.stop()
        self._handle = self._loop.call_later(self._seconds, then)

    def stop(self) -> None:
        """Waits no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def hold_little(transport: Transport, size: int) -> None:
    """Has the system take no more than so many bytes that are not sent yet, where it can."""
    # Not every system knows it, and a socket of the local machine's own kind has no such option.
    with contextlib.suppress(AttributeError, OSError):
        transport.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, size
        )


def has_left(transport: Transport) -> bool:
    """Whether the other end sends no more, even if there is something of it still to be read."""
    poller = select.poll()
    # macOS has no other name for it, and tells nothing of what it is not asked for.
    asked = getattr(select, "POLLRDHUP", select.POLLHUP)
    poller.register(transport.get_extra_info("socket"), asked)
    return bool(poller.poll(0))
