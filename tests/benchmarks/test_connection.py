import asyncio
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.connection import BROKEN, HOST, Connection, Pool

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n"
)
LAST = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"


def play(
    script: list[list[bytes]], scene: Callable[[Connection], Awaitable[object]]
) -> tuple[object, int]:
    """What a scene gives before a server with an answer to each request of each connection.

    The server hangs up when a connection's answers are used up.
    """
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        answers = script[opened]
        opened += 1
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    async def run() -> object:
        server = await asyncio.start_server(serve, HOST, 0)
        connection = Connection(server.sockets[0].getsockname()[1])
        try:
            return await asyncio.wait_for(scene(connection), 10)
        finally:
            connection.close()
            server.close()

    return asyncio.run(run()), opened


def test_answers_with_a_length_and_in_chunks_come_over_one_connection() -> None:
    async def scene(connection: Connection) -> list[int]:
        return [await connection.send(REQUEST) for _ in range(3)]

    assert play([[CHUNKED, PLAIN, CHUNKED]], scene) == ([404, 200, 404], 1)


def test_after_an_answer_that_says_close_a_new_connection_is_made() -> None:
    async def scene(connection: Connection) -> list[int]:
        return [await connection.send(REQUEST) for _ in range(2)]

    assert play([[LAST], [PLAIN]], scene) == ([503, 200], 2)


def test_an_answer_cut_short_is_an_error_and_the_next_request_has_a_new_connection() -> None:
    async def scene(connection: Connection) -> int:
        with pytest.raises(BROKEN):
            await connection.send(REQUEST)
        return await connection.send(REQUEST)

    assert play([[CUT], [PLAIN]], scene) == (200, 2)


def test_a_connection_that_the_server_has_closed_is_told() -> None:
    async def scene(connection: Connection) -> tuple[bool, bool]:
        before = connection.ended
        await connection.send(REQUEST)
        for _ in range(500):
            await asyncio.sleep(0 if connection.ended else 0.01)
        return before, connection.ended

    assert play([[PLAIN]], scene) == ((False, True), 1)


def test_a_pool_gives_back_what_is_still_connected() -> None:
    async def scene(connection: Connection) -> list[bool]:
        pool = Pool(connection._port)
        await connection.send(REQUEST)
        pool.give(connection)
        same = pool.take() is connection
        await connection.send(REQUEST)
        pool.give(connection)
        for _ in range(500):
            await asyncio.sleep(0 if connection.ended else 0.01)
        other = pool.take()
        assert await other.send(REQUEST) == 404
        other.close()
        return [same, other is connection]

    assert play([[PLAIN, PLAIN], [CHUNKED]], scene) == ([True, False], 2)


def test_nobody_there() -> None:
    async def scene(connection: Connection) -> None:
        del connection
        with pytest.raises(ConnectionRefusedError):
            await Connection(1).send(REQUEST)

    play([], scene)
