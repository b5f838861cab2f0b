"""The HTTP server: how it is set up, and how it ends."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
from collections.abc import Iterator
from types import FrameType
from typing import ClassVar, NoReturn

import uvicorn
from fastapi import FastAPI

from app.addresses import cannot_listen
from app.descriptors import most_connections
from app.exits import EXIT_BROKEN, EXIT_FORCED
from app.inference.catalogue import Catalogue
from app.inference.service import Service
from app.protocol import GuardedProtocol
from app.settings import Settings
from model_store.errors import TwinlensError

_logger = logging.getLogger(__name__)

_KEEP_ALIVE_SECONDS = 75
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Time for answers that are made but not yet sent when the draining time is over.
_LAST_SECONDS = 2


class CannotListen(TwinlensError):
    """The address cannot be had: another process listens on it, or it is not this machine's."""


def check_address(host: str, port: int) -> None:
    """Refuses an address that the server could not listen on.

    uvicorn itself finds out once models are being loaded, which does not end at once.

    Args:
        host: As the setting.
        port: Likewise; 0 for a free one.

    Raises:
        CannotListen: It says why and what to do.
    """
    try:
        asyncio.run(_listen_once(host, port))
    except (OSError, UnicodeError) as error:
        raise CannotListen(cannot_listen(host, port, error)) from error


async def _listen_once(host: str, port: int) -> None:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port)
    server.close()


def server_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves the application, which `create_app` made."""

    class Protocol(GuardedProtocol):
        patience = settings.slow_client_seconds
        most_connections = most_connections()
        idle: ClassVar[dict[GuardedProtocol, None]] = {}
        rejected = staticmethod(app.state.metrics.rejected)

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


class DrainingServer(uvicorn.Server):
    """A server that ends without losing what it accepted.

    At the first SIGTERM or SIGINT the service is unready at once and new work is answered 503; the
    port stays open, so that health checks see it. As soon as nothing is in work or still to be
    sent, or the draining time is over, the process ends with status 0. A second signal ends it at
    once. A service that cannot be mended any more ends it too, so that whoever supervises it starts
    it anew.

    Args:
        config: Its `app` must be the FastAPI application itself.
        drain_seconds: The draining time.

    Attributes:
        status: The exit status that the process should end with.
    """

    def __init__(self, config: uvicorn.Config, drain_seconds: float) -> None:
        config.timeout_graceful_shutdown = _LAST_SECONDS
        super().__init__(config)
        self._drain_seconds = drain_seconds
        self._drain_until: float | None = None
        self._signalled = False
        self._settled: Catalogue | None = None
        self.status = 0

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handles the signals while the block runs; afterwards they are not raised again."""
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def draining(self) -> bool:
        """Whether a signal has come."""
        return self._signalled

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins to drain; at the second signal, ends."""
        del frame
        if self._signalled:
            _logger.warning("second signal %s: ending at once", signal.Signals(sig).name)
            # Threads that hang would be waited for by any other way out.
            os._exit(EXIT_FORCED)
        self._signalled = True
        _logger.info("%s: draining", signal.Signals(sig).name)
        service = self._service()
        if service is not None:
            service.drain()

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; says whether to end now."""
        service = self._service()
        if service is not None and service.failure is not None:
            self.status = EXIT_BROKEN
            self.should_exit = True
        if service is not None and service.catalogue.models:
            self._spare_the_collector(service.catalogue)
        if self._signalled and not self.should_exit:
            now = asyncio.get_running_loop().time()
            if self._drain_until is None:
                self._drain_until = now + self._drain_seconds
            if not self._busy() or now >= self._drain_until:
                self.should_exit = True
        return await super().on_tick(counter)

    def _busy(self) -> bool:
        if self.config.app.state.in_flight.requests:  # type: ignore[union-attr]
            return True
        # A request is no longer in work once its answer is written, and its client may not have
        # read it by far, nor even have sent all that it sends before it reads.
        return any(
            each.transport.get_write_buffer_size()
            or (isinstance(each, GuardedProtocol) and each.ended)
            for each in self.server_state.connections
        )

    def _spare_the_collector(self, catalogue: Catalogue) -> None:
        """Has the garbage collector leave alone what is there once models are loaded.

        The libraries have some 240,000 objects, which nearly all live as long as the process. To
        look through them took 0.1 to 0.25 s each time, during which no thread could do anything.
        """
        if catalogue is not self._settled:
            self._settled = catalogue
            # A model that was replaced has been left alone, and may be garbage now.
            gc.unfreeze()
            gc.collect()
            gc.freeze()

    def _service(self) -> Service | None:
        return getattr(self.config.app.state, "service", None)  # type: ignore[union-attr]


def serve(server: DrainingServer, sockets: list[socket.socket] | None = None) -> NoReturn:
    """Runs a server, and ends the process with its status.

    Args:
        server: What serves.
        sockets: To listen on instead of the address that the server knows.
    """
    try:
        server.run(sockets)
    except SystemExit as ended:
        # The address was taken since it was looked at; the log says so.
        server.status = ended.code if isinstance(ended.code, int) else EXIT_FORCED
    # The interpreter would wait for its threads, and one that hangs in an engine never ends.
    logging.shutdown()
    os._exit(server.status)
