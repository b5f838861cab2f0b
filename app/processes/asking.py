"""How a front-end is asked a question.

Over a unix socket, one question a connection: its name and the end of the line. The answer is a
line with `OK` or `ERROR` and the number of bytes that follow it.
"""

import asyncio
from pathlib import Path


async def ask(socket: Path, question: str, seconds: float) -> tuple[str, str]:
    """Asks a front-end.

    Args:
        socket: Where it answers.
        question: One that it knows.
        seconds: How long it may take to answer.

    Returns:
        `OK` or `ERROR`, and the answer.

    Raises:
        TimeoutError: It has not answered in time.
        OSError: Nobody listens.
        EOFError, ValueError: What came is no answer.
    """
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_unix_connection(socket)
        try:
            writer.write(f"{question}\n".encode())
            result, _, length = (await reader.readline()).decode().partition(" ")
            return result, (await reader.readexactly(int(length))).decode()
        finally:
            writer.close()
