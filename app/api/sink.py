"""A short way for the bytes of a body, from the connection to whoever reads them."""

import contextlib
from collections.abc import Callable, Iterator, Mapping

from starlette.types import Scope

_KEY = "twinlens.sink"


class Sink:
    """Takes pieces as the connection has them, past the server's queue and the event loop's turns.

    For a body of tens of megabytes that queue, with its copies and a turn of the event loop for
    each piece, costs more than all that is then done with the bytes. A server that knows nothing of
    sinks gives the pieces to `receive`, as ASGI has it.

    Args:
        write: What each piece is given to, in order.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._error: Exception | None = None

    @contextlib.contextmanager
    def open(self, scope: Scope) -> Iterator[None]:
        """Lets the server find it, until the block ends."""
        scope[_KEY] = self
        try:
            yield
        finally:
            del scope[_KEY]
            # Its trace leads here, and from here to all that was read: they would stay until the
            # garbage collector comes upon them.
            self._error = None

    def offer(self, piece: bytes) -> bool:
        """Gives it a piece; False if it can take none, since it could not take one before."""
        if self._error is None:
            try:
                self._write(piece)
            except Exception as error:  # noqa: BLE001 (the reader raises it, and not the server)
                self._error = error
        return self._error is None

    def check(self) -> None:
        """Raises the error of the piece that could not be taken, if there was one."""
        if self._error is not None:
            raise self._error


def sink_of(scope: Mapping[str, object]) -> Sink | None:
    """The sink of a request whose body is being read; None where there is none."""
    sink = scope.get(_KEY)
    return sink if isinstance(sink, Sink) else None
