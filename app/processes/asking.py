"""How a front-end is asked a question.

Over a unix socket, one question a connection: its name and the end of the line. The answer is a
line with `OK` or `ERROR` and the number of bytes that follow it.
"""

import asyncio
import socket as sockets
from pathlib import Path

_AGAIN_SECONDS = 0.05


async def ask(socket: Path, question: str, seconds: float) -> tuple[str, str]:
    """Asks a front-end.

    Args:
        socket: Where it answers.
        question: One that it knows.
        seconds: How long it may take to answer.

    Returns:
        `OK` or `ERROR`, and the answer.

    Raises:
        TimeoutError: It has not answered in time, or so many wait for it that no more can.
        OSError: Nobody listens.
        EOFError, ValueError: What came is no answer.
    """
    async with asyncio.timeout(seconds):
        connection = await _connected(socket)
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        try:
            writer.write(f"{question}\n".encode())
            result, _, length = (await reader.readline()).decode().partition(" ")
            return result, (await reader.readexactly(int(length))).decode()
        finally:
            writer.close()


async def _connected(path: Path) -> sockets.socket:
    """Connects, or waits for as long as the queue of those who have asked already is full.

    Event loops take that for an error, like those of one that is not there, or for a success.
    """
    connection = sockets.socket(sockets.AF_UNIX)
    try:
        connection.setblocking(False)
        while True:
            try:
                connection.connect(str(path))
            except BlockingIOError:
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return connection
    except BaseException:
        connection.close()
        raise
