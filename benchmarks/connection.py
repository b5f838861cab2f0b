"""HTTP in as little code and time as can be: the load must not cost more than what it loads."""

import asyncio
import re
from typing import cast

HOST = "127.0.0.1"

BROKEN = (OSError, EOFError)
"""What `Connection.send` raises when there is no connection, or it ends before the answer does."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


class Connection:
    """One connection to a port of this machine, opened when it is needed.

    Args:
        port: Where the server listens.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._wire: _Wire | None = None

    @property
    def ended(self) -> bool:
        """Whether the server has closed it, so that a request on it would be lost."""
        return self._wire is not None and self._wire.ended

    async def send(self, request: bytes) -> int:
        """The status of the answer, once all of it has come.

        Whatever goes wrong, the next request goes over a new connection.

        Args:
            request: All of it, head and body.

        Raises:
            OSError, EOFError: The connection cannot be made, or broke.
        """
        try:
            if self._wire is None:
                loop = asyncio.get_running_loop()
                _, self._wire = await loop.create_connection(_Wire, HOST, self._port)
            status, closes = await self._wire.exchange(request)
        except BaseException:
            self.close()
            raise
        if closes:
            self.close()
        return status

    def close(self) -> None:
        """Ends the connection."""
        if self._wire is not None:
            self._wire.transport.close()
            self._wire = None


class _Wire(asyncio.Protocol):
    """A connection's bytes: one request out, one answer in.

    Attributes:
        ended: Whether the other side has closed it.
    """

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.ended = False
        self._received = bytearray()
        self._answer: asyncio.Future[tuple[int, bool]] | None = None

    def exchange(self, request: bytes) -> asyncio.Future[tuple[int, bool]]:
        """The status of the answer, and whether the connection closes after it."""
        self._answer = asyncio.get_running_loop().create_future()
        self._received.clear()
        if self.ended:
            self.connection_lost(None)
        else:
            self.transport.write(request)
        return self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is one in all but its class.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._answer is not None and not self._answer.done() and self._whole():
            status = int(self._received[9:12])
            head = self._received[: self._received.index(b"\r\n\r\n")]
            self._answer.set_result((status, _CLOSES.search(head) is not None))

    def eof_received(self) -> None:
        self.ended = True

    def connection_lost(self, error: Exception | None) -> None:
        self.ended = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or EOFError("the connection ended before the answer"))

    def _whole(self) -> bool:
        """Whether all of the answer is there."""
        head = self._received.find(b"\r\n\r\n")
        if head < 0:
            return False
        length = _LENGTH.search(self._received, 0, head)
        if length is not None:
            return len(self._received) >= head + 4 + int(length[1])
        if _CHUNKED.search(self._received, 0, head) is None:
            raise ValueError("the answer has neither a length nor chunks")
        start = head + 4
        while (end := self._received.find(b"\r\n", start)) >= 0:
            size = int(self._received[start:end], 16)
            start = end + 2 + size + 2
            if not size:
                return len(self._received) >= start
        return False


class Pool:
    """Connections to a port of this machine that wait to be used again.

    Args:
        port: Where the server listens.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Connection] = []

    def take(self) -> Connection:
        """The one that was used last and that the server has not closed meanwhile, or a new one."""
        while self._idle:
            connection = self._idle.pop()
            # The other side may end a connection that was idle for long, and nothing is lost by it.
            if not connection.ended:
                return connection
            connection.close()
        return Connection(self._port)

    def give(self, connection: Connection) -> None:
        """Takes one back that is not in use any more."""
        self._idle.append(connection)

    def close(self) -> None:
        """Ends those that wait."""
        while self._idle:
            self._idle.pop().close()
