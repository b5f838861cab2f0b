"""HTTP/1.1 as uvicorn speaks it, with bounds on how long a client can hold a connection."""

import sys
from asyncio import Transport
from collections.abc import Callable
from typing import ClassVar

from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.api.context import unsent_of
from app.api.problem import BadRequest, HeadersTooSlow
from app.api.refusal import refusal
from app.connection import Flow, Outlet, Timer, has_left, hold_little
from app.inference.admission import Reservation
from app.reading import BoundedReading

# Between two looks at whether a client of which nothing is read is still there.
_LOOK_SECONDS = 0.25
# Who takes less of an answer at a time only keeps it in memory.
_LEAST_READ = 65_536
# What the system holds on its way out. Else that grows to megabytes, of which it takes more only
# once a third is read: for that long a steady reader would seem to take nothing.
_UNSENT_IN_SYSTEM = 2 * _LEAST_READ


class GuardedProtocol(BoundedReading):
    """Closes connections that would otherwise be held for as long as a client likes.

    uvicorn itself waits without end for the first request on a connection, for the rest of a
    request's headers, for the rest of a body that was answered before its end, and for a client
    that does not read; and it holds the headers and the unread body of a connection's last request
    for as long as that is idle. Reading a body in time is up to whoever reads it.

    What is no request that the application could answer is answered here, as a problem document
    too, once the requests before it are answered; that is the connection's end.

    If there are too many connections, the one that has been idle for longest is closed.

    Attributes:
        patience: Seconds for each of these; for the first byte of a connection, the time that an
            idle connection is kept alive.
        most_connections: Too many are more than so many.
        idle: Those with nothing in work, by when they became so or a request's headers began to
            come; the longest first.
        rejected: Told of the slug of each problem that is answered here.
    """

    patience = 10.0
    most_connections = sys.maxsize
    idle: ClassVar[dict["GuardedProtocol", None]] = {}
    rejected: Callable[[str], object] = staticmethod(lambda slug: None)  # noqa: ARG005

    # A client may well send its next request while it does not read the answer to the last.
    _reading: Timer
    _writing: Timer
    # For as long as requests wait for their turn.
    _looking: Timer
    # Of requests sent in a row without waiting, the one in work; `cycle` is the last one read.
    _running: RequestResponseCycle | None = None
    # Its client waits to be told that it may send the body, and would be kept.
    _waits = False
    # Of what was written, when waiting for the client to read on began.
    _unsent = 0
    # Of an answer to work, which has no limit of its own, for as long as its client is to read on.
    _held: Reservation | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """As `asyncio.Protocol`; uvicorn declares the type of transport likewise."""
        super().connection_made(transport)
        self.flow = Flow(transport, self.pipeline)
        hold_little(transport, _UNSENT_IN_SYSTEM)
        self._reading = Timer(self.loop, self.patience)
        self._writing = Timer(self.loop, self.patience)
        self._looking = Timer(self.loop, _LOOK_SECONDS)
        self._await_request()
        if len(self.connections) > self.most_connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """As `asyncio.Protocol`."""
        self._reading.stop()
        self._writing.stop()
        self._looking.stop()
        self._hold_no_more()
        self.idle.pop(self, None)
        self._unset_keepalive_if_required()
        self._tell_gone()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """As `asyncio.Protocol`; the connection is closed, and `connection_lost` a turn later."""
        self._tell_gone()
        super().eof_received()

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        # Not at any byte: empty lines between requests would keep a connection for good.
        self._unset_keepalive_if_required()
        self._reading.start(self._headers_too_slow)
        if self in self.idle:
            self._become_idle()

    def on_headers_complete(self) -> None:
        """A request's headers are there."""
        super().on_headers_complete()
        if self._in_headers:
            return  # To be read anew.
        self._reading.stop()
        # Once it is answered it may do without: what it sends then, that body or its next request,
        # cannot be told.
        self._waits = self.expect_100_continue and self.cycle.keep_alive
        if self._waits:
            self.cycle.keep_alive = False
        if self.pipeline:
            self._looking.start(self._look)

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._wait_no_more()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of a request, or of headers that are to be read anew."""
        self._wait_no_more()
        super().on_message_complete()
        if not self._in_headers and self.cycle.response_complete:
            self._reading.stop()
            self._await_request()
            self._forget()

    def on_response_complete(self) -> None:
        """The end of an answer."""
        early = self._is_early()
        super().on_response_complete()
        if self._in_work() is None:
            self._forget()
        if self.transport.is_closing():
            self._close()
        elif self._refusal is not None and self._in_work() is None:
            self._say(self._refusal)
        elif self._in_work() is None:
            self._become_idle()
            if early:
                self._await_end()

    def pause_writing(self) -> None:
        """The client does not read as fast as it is sent to."""
        super().pause_writing()
        if self._running is not None:
            self._held = unsent_of(self._running.scope)
        self._await_reading()

    def resume_writing(self) -> None:
        """The client has read on."""
        super().resume_writing()
        self._hold_no_more()
        if not self.transport.is_closing():
            self._writing.stop()

    def timeout_keep_alive_handler(self) -> None:
        """No request has come for too long."""
        self._close()

    def _await_request(self) -> None:
        self._become_idle()
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _wait_no_more(self) -> None:
        if self._waits and not self.cycle.response_started:
            self.cycle.keep_alive = True
        self._waits = False

    def _await_end(self) -> None:
        # Closing now could destroy the answer before a client that still sends has read it.
        self._unset_keepalive_if_required()
        self._reading.start(self._close)

    def _become_idle(self) -> None:
        self.idle.pop(self, None)
        self.idle[self] = None

    def _forget(self) -> None:
        """Lets go of the request that was answered, or an idle connection would hold all of it."""
        if self._in_body:
            # What is still to come of it is read, and goes nowhere.
            self.cycle.body = bytearray()
            return
        self.cycle = self._running = None  # type: ignore[assignment]
        if not self._in_headers:
            self.url, self.headers = b"", []
            self.scope = {}  # type: ignore[typeddict-item]

    def _make_room(self) -> None:
        # One that is still to be sent an answer would not go at once.
        sent = (each for each in self.idle if not each.transport.get_write_buffer_size())
        longest = next(sent, None)
        if longest is not None:
            longest._close()  # noqa: SLF001 (of its own class)

    def _close(self) -> None:
        self.idle.pop(self, None)
        # What was written goes out first, which a client that does not read would never let happen.
        self.transport.close()
        self._await_reading()

    def _end_answer(self) -> None:
        if self._is_early() and not self.transport.is_closing():
            self._end()
        else:
            self.transport.close()

    def _end(self) -> None:
        # A client that waits for the end of the connection has it, and can send on all the same.
        self.ended = True
        self.transport.write_eof()
        self.flow.resume_reading()
        self._become_idle()
        self._await_end()

    def _is_early(self) -> bool:
        """Whether an answer that is whole now is there before all of its request."""
        return self._running is not None and self._running.more_body

    def _is_ending(self) -> bool:
        return self.ended or self.transport.is_closing()

    def _await_reading(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        if self._held is not None:
            self._held.hold(self._unsent)
        self._writing.start(self._hang_up)

    def _look(self) -> None:
        """Tells of a client that has left: while nothing is read, nothing else does."""
        if not self.pipeline or self.transport.is_closing():
            return
        if has_left(self.transport):
            self._tell_gone()
            self._close()
        else:
            self._looking.start(self._look)

    def _hang_up(self) -> None:
        # Most answers are written whole, and a large one may take many times the patience.
        if self._unsent - self.transport.get_write_buffer_size() >= _LEAST_READ:
            self._await_reading()
            return
        # The task that sends must not wake to a transport that is already closed.
        self._tell_gone()
        self.transport.abort()

    def _hold_no_more(self) -> None:
        if self._held is not None:
            self._held.release()
            self._held = None

    def _in_work(self) -> RequestResponseCycle | None:
        running = self._running
        if running is None or running.response_complete or running.disconnected:
            return None
        return running

    def _tell_gone(self) -> None:
        running = self._in_work()
        if running is not None:
            running.disconnected = True
            running.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        self._running = cycle
        cycle.transport = Outlet(self.transport.write, self._end_answer, self._is_ending)  # type: ignore[assignment]
        self.idle.pop(self, None)
        self._unset_keepalive_if_required()
        super()._start_asgi_task(cycle, app)  # type: ignore[arg-type]

    def _headers_too_slow(self) -> None:
        if self.flow.read_paused:
            # They may have been sent, and wait until what was sent before them is done.
            self._reading.start(self._headers_too_slow)
            return
        self._refuse(
            HeadersTooSlow(
                f"the headers were not there within {self.patience:g} s; send them faster"
            )
        )

    def _refuse(self, error: BadRequest) -> None:
        """Reads no more; says why, once what was asked before is answered, and closes."""
        self._refusal = error
        self._reading.stop()
        begun = self._in_body and self.cycle.response_started
        if self._in_body and self.cycle is self._running:
            # Whoever works on it waits for the rest of its body.
            self._tell_gone()
        elif self._in_body:
            self.pipeline.popleft()
        if begun:
            self._close()
        elif self._in_work() is None:
            self._say(error)

    def _say(self, error: BadRequest) -> None:
        self.rejected(error.slug)
        self.transport.write(refusal(error, self.server_state.default_headers))
        self._end()
