"""HTTP in as little code and time as can be: the load must not cost more than what it loads."""

import asyncio

HOST = "127.0.0.1"

BROKEN = (OSError, EOFError)
"""What `Connection.send` raises when there is no connection, or it ends before the answer does."""

_LONGEST_HEAD = 1 << 20


class Connection:
    """One connection to a port of this machine, opened when it is needed.

    Args:
        port: Where the server listens.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def ended(self) -> bool:
        """Whether the server has closed it, so that a request on it would be lost."""
        return self._streams is not None and self._streams[0].at_eof()

    async def send(self, request: bytes) -> int:
        """The status of the answer, once all of it has come.

        Whatever goes wrong, the next request goes over a new connection.

        Args:
            request: All of it, head and body.

        Raises:
            OSError, EOFError: The connection cannot be made, or broke.
        """
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(HOST, self._port, limit=_LONGEST_HEAD)
            return await self._exchange(*self._streams, request)
        except BaseException:
            self.close()
            raise

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> int:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        lines = head.split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                await reader.readexactly(size + 2)
            await reader.readexactly(2)
        else:
            await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close":
            self.close()
        return int(lines[0].split(" ")[1])

    def close(self) -> None:
        """Ends the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


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
