"""When the protocol reads on from a connection, and when it waits."""

import asyncio
import contextlib
import re
import tracemalloc

import numpy as np
import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from app.api.sink import Sink
from app.protocol import GuardedProtocol
from tests.app.serving import CHUNKED, LIVE


class Reading(asyncio.Transport):
    """Knows whether more is to be read, and forgets what is written."""

    paused = False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def write(self, data: bytes) -> None:
        pass

    def is_closing(self) -> bool:
        return False


class Writing(Reading):
    """Keeps what is written, and whether it was closed."""

    written = b""
    ended = False
    closed = False

    def write(self, data: bytes) -> None:
        assert not self.ended
        self.written += data

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0


async def answered(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that reads nothing."""
    await Response()(scope, receive, send)


def connected(application: ASGIApp, transport: asyncio.Transport) -> GuardedProtocol:
    config = uvicorn.Config(application, http=GuardedProtocol, ws="none", log_config=None)
    config.load()
    protocol = GuardedProtocol(config, ServerState(), {})
    protocol.connection_made(transport)
    return protocol


@pytest.mark.parametrize(
    ("size", "waits"), [(1, True), (200_000, False)], ids=["single bytes", "one piece"]
)
def test_a_body_in_many_pieces_waits_for_its_reader_and_one_in_few_does_not(
    size: int, *, waits: bool
) -> None:
    """While it waits, others have their turn."""
    content = bytes(range(250)) * 800
    taken: list[bytes] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        with Sink(taken.append).open(scope):
            more = True
            while more:
                message = await receive()
                taken.append(message["body"])
                more = message["more_body"]
        await Response()(scope, receive, send)

    async def read() -> None:
        transport = Reading()
        protocol = connected(application, transport)
        protocol.data_received(CHUNKED)
        await asyncio.sleep(0)
        chunks = (content[start : start + size] for start in range(0, len(content), size))
        protocol.data_received(b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks))
        assert transport.paused == waits
        for _ in range(10):
            await asyncio.sleep(0)
        assert not transport.paused
        protocol.data_received(b"0\r\n\r\n")
        (reader,) = protocol.tasks
        await reader
        protocol.connection_lost(ConnectionResetError())

    asyncio.run(read())
    assert b"".join(taken) == content


@pytest.mark.parametrize("size", [40_000, 262_144, 1 << 20], ids="pieces of {}".format)
@pytest.mark.parametrize("sunk", [True, False], ids=["to a sink", "to receive"])
def test_large_bodies_end_where_they_say_and_the_next_request_begins_there(
    size: int, *, sunk: bool
) -> None:
    """The parser sees next to nothing of them."""
    random = np.random.default_rng(0)
    bodies = [random.bytes(count) for count in ((1 << 20) - 1, 1 << 20, 3, (2 << 20) + 7, 5)]
    sent = b"".join(
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies
    )
    found: list[bytes] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        taken: list[bytes] = []
        with Sink(taken.append).open(scope) if sunk else contextlib.nullcontext():
            more = True
            while more:
                message = await receive()
                taken.append(message["body"])
                more = message["more_body"]
        found.append(b"".join(taken))
        await Response()(scope, receive, send)

    async def read() -> None:
        transport = Reading()
        protocol = connected(application, transport)
        for start in range(0, len(sent), size):
            protocol.data_received(sent[start : start + size])
            for _ in range(20):
                await asyncio.sleep(0)
            assert not transport.paused
        assert not protocol.tasks
        protocol.connection_lost(ConnectionResetError())

    asyncio.run(read())
    assert found == bodies


def test_nothing_is_read_while_requests_wait_for_their_turn() -> None:
    async def read() -> None:
        turns = asyncio.Semaphore(0)

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await turns.acquire()
            await Response()(scope, receive, send)

        transport = Reading()
        protocol = connected(application, transport)

        async def waiting_after(answers: int) -> int:
            for _ in range(answers):
                turns.release()
            for _ in range(10):
                await asyncio.sleep(0)
            assert transport.paused == bool(protocol.pipeline)
            return len(protocol.pipeline)

        for _ in range(2):
            protocol.data_received(LIVE * 3)
            assert [await waiting_after(answers) for answers in (0, 1, 1, 1)] == [2, 1, 0, 0]
            assert not protocol.tasks
        protocol.connection_lost(ConnectionResetError())

    asyncio.run(read())


@pytest.mark.parametrize("early", [False, True], ids=["at the end", "before the end"])
def test_nothing_of_a_request_is_held_once_it_is_answered(*, early: bool) -> None:
    """Neither its headers nor a body that nobody read, on however many idle connections."""
    count, size = 20, 60_000
    target = b"POST /" + b"a" * 10_000 + b" HTTP/1.1\r\n"
    lines = b"".join(b"%03d: %b\r\n" % (n, b"b" * 400) for n in range(100))
    head = target + lines + b"Content-Length: %d\r\n\r\n" % size

    async def held() -> int:
        """Bytes a connection."""
        protocols = [connected(answered, Reading()) for _ in range(count)]
        before, _ = tracemalloc.get_traced_memory()
        for protocol in protocols:
            for _ in range(2):
                protocol.data_received(head + bytes(size - early))
                (answering,) = protocol.tasks
                await answering
                if early:
                    protocol.data_received(bytes(1))
        after, _ = tracemalloc.get_traced_memory()
        for protocol in protocols:
            protocol.connection_lost(ConnectionResetError())
        return (after - before) // count

    tracemalloc.start()
    try:
        assert asyncio.run(held()) < 5_000
    finally:
        tracemalloc.stop()


def test_a_connection_that_is_lost_is_not_held_as_an_idle_one() -> None:
    async def lose() -> None:
        protocol = connected(answered, Writing())
        assert protocol in GuardedProtocol.idle
        protocol.connection_lost(None)
        assert protocol not in GuardedProtocol.idle

    asyncio.run(lose())


def test_a_body_that_goes_bad_after_its_answer_gets_no_second_one() -> None:
    async def read() -> None:
        transport = Writing()
        protocol = connected(answered, transport)
        protocol.data_received(CHUNKED)
        (answering,) = protocol.tasks
        await answering
        assert not transport.closed
        protocol.data_received(b"what\r\n")
        assert transport.written.count(b"HTTP/1.1 ") == 1
        assert transport.closed
        protocol.connection_lost(None)

    asyncio.run(read())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(
            CHUNKED[:-2] + b"Expect: 100-continue\r\n\r\nwhat\r\n",
            b"400",
            id="that a body may be sent whose reader begins once it went bad",
        ),
        pytest.param(
            LIVE[:-2] + b"Connection: close\r\n\r\nwhat\r\n",
            b"200",
            id="that what comes behind the last request is none",
        ),
        pytest.param(
            CHUNKED[:-2] + b"Connection: close\r\n\r\n0\r\n\r\nwhat\r\n",
            b"200",
            id="that what comes behind the last body is none",
        ),
    ],
)
def test_nothing_is_written_behind_the_last_answer(sent: bytes, status: bytes) -> None:
    raised: list[BaseException] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if (await receive())["type"] == "http.request":
                await answered(scope, receive, send)
        except BaseException as error:
            raised.append(error)
            raise

    async def read() -> None:
        transport = Writing()
        protocol = connected(application, transport)
        protocol.data_received(sent)
        (answering,) = protocol.tasks
        await answering
        assert re.findall(rb"HTTP/1.1 (\d+)", transport.written) == [status]
        assert transport.ended or transport.closed
        protocol.connection_lost(None)

    asyncio.run(read())
    assert not raised


def test_what_comes_after_a_bad_request_takes_none_of_the_good_ones_before_it() -> None:
    async def read() -> None:
        turn = asyncio.Event()

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await turn.wait()
            await answered(scope, receive, send)

        transport = Writing()
        protocol = connected(application, transport)
        protocol.data_received(LIVE * 2)
        for data in (CHUNKED + b"what\r\n", b"more\r\n"):
            protocol.data_received(data)
        turn.set()
        for _ in range(20):
            await asyncio.sleep(0)
        assert re.findall(rb"HTTP/1.1 (\d+)", transport.written) == [b"200", b"200", b"400"]
        assert transport.ended
        protocol.connection_lost(None)

    asyncio.run(read())
