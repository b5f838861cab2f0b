"""HTTP/1.1 as uvicorn speaks it, with bounds on what a slow or endless client can hold."""

from asyncio import AbstractEventLoop, TimerHandle, Transport
from collections.abc import Callable

import httptools
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.api.sink import sink_of
from app.settings import Settings

_MAX_HEADER_BYTES = 65_536
_KEEP_ALIVE_SECONDS = 75


class GuardedProtocol(HttpToolsProtocol):
    """Closes connections that would otherwise be held for as long as a client likes.

    uvicorn itself waits without end for the first request on a connection, for the rest of a
    request's headers (of any size), for the rest of a body that was answered before its end, and
    for a client that does not read. Reading a body in time is up to whoever reads it.

    Attributes:
        patience: Seconds for each of these; for the first byte of a connection, the time that an
            idle connection is kept alive.
    """

    patience = 10.0

    # A client may well send its next request while it does not read the answer to the last.
    _reading: "_Timer"
    _writing: "_Timer"
    # Of requests sent in a row without waiting, the one in work; `cycle` is the last one read.
    _running: RequestResponseCycle | None = None
    _in_headers = False
    _header_bytes = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """As `asyncio.Protocol`; uvicorn declares the type of transport likewise."""
        super().connection_made(transport)
        self._reading = _Timer(self.loop, self.patience)
        self._writing = _Timer(self.loop, self.patience)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """As `asyncio.Protocol`."""
        self._reading.stop()
        self._writing.stop()
        self._unset_keepalive_if_required()
        self._tell_gone()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """As `asyncio.Protocol`; the connection is closed, and `connection_lost` a turn later."""
        self._tell_gone()
        super().eof_received()

    def data_received(self, data: bytes) -> None:
        """As `asyncio.Protocol`."""
        super().data_received(data)
        if self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > _MAX_HEADER_BYTES and not self.transport.is_closing():
                self._refuse(b"431 Request Header Fields Too Large", b"the headers are too large")

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._in_headers = True
        self._header_bytes = 0
        self._reading.start(self._headers_too_slow)

    def on_headers_complete(self) -> None:
        """A request's headers are there."""
        self._in_headers = False
        self._reading.stop()
        try:
            super().on_headers_complete()
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
            self._refuse(b"400 Bad Request", b"the request's target is not a valid path")

    def on_body(self, body: bytes) -> None:
        """A piece of a body: to its reader at once where one waits, or into the queue."""
        sink = sink_of(self.cycle.scope)
        # What is in the queue already goes first.
        if sink is None or self.cycle.body or not sink.offer(body):
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of a request."""
        if self.cycle is not None and self.cycle.response_complete:
            self._reading.stop()
            self._await_request()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The end of an answer."""
        early = self._running is not None and self._running.more_body
        super().on_response_complete()
        if self.transport.is_closing():
            self._close()
        elif early and not self.pipeline:
            # Closing now could destroy the answer before a client that still sends has read it.
            self._unset_keepalive_if_required()
            self._reading.start(self._close)

    def pause_writing(self) -> None:
        """The client does not read as fast as it is sent to."""
        super().pause_writing()
        self._writing.start(self._hang_up)

    def resume_writing(self) -> None:
        """The client has read on."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._writing.stop()

    def timeout_keep_alive_handler(self) -> None:
        """No request has come for too long."""
        self._close()

    def _await_request(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _close(self) -> None:
        # What was written goes out first, which a client that does not read would never let happen.
        self.transport.close()
        self._writing.start(self._hang_up)

    def _hang_up(self) -> None:
        # The task that sends must not wake to a transport that is already closed.
        self._tell_gone()
        self.transport.abort()

    def _tell_gone(self) -> None:
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        self._running = cycle
        super()._start_asgi_task(cycle, app)  # type: ignore[arg-type]

    def _headers_too_slow(self) -> None:
        self._refuse(b"408 Request Timeout", b"the headers were not there in time")

    def _refuse(self, status: bytes, why: bytes) -> None:
        self._reading.stop()
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%b" % (status, len(why), why)
        )
        self._close()


class _Timer:
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


def server_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves the application."""

    class Protocol(GuardedProtocol):
        patience = settings.slow_client_seconds

    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="auto",
        http=Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
