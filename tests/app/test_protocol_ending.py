"""What clients get that still send when the last answer of their connection is there."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.serving import LIVE, Running, answer_of, in_thread

# More than the systems at both ends hold.
SIZE = 20_000_000
EXPECTING = b"Expect: 100-continue\r\n"


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[Running]:
    with in_thread(store, store_poll_seconds=0, max_body_bytes=100_000) as running:
        yield running


def answers(server: Running, *pieces: bytes) -> bytes:
    """All that comes before the end of a connection, read once everything is sent."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return rest_of(connection)


def rest_of(connection: socket.socket) -> bytes:
    """What comes until the connection's end."""
    with connection.makefile("rb") as received:
        return received.read()


@pytest.mark.parametrize("sent", [b"", EXPECTING], ids=["sent", "expecting"])
@pytest.mark.parametrize(
    "head",
    [
        b"POST /embed HTTP/1.1\r\nHost: x\r\nConnection: close\r\n",
        b"POST /embed HTTP/1.0\r\n",
    ],
    ids=["close", "HTTP/1.0"],
)
def test_a_refused_body_may_be_sent_whole_before_the_answer_is_read(
    server: Running, head: bytes, sent: bytes
) -> None:
    length = b"Content-Length: %d\r\n\r\n" % SIZE
    body = b"" if sent else bytes(SIZE)
    answer = answers(server, head + sent + length, body, LIVE)
    assert answer.startswith(b"HTTP/1.1 413")
    assert answer.endswith(b"}")
    assert answer.count(b"HTTP/1.1") == 1


def test_a_client_that_waits_with_its_body_is_not_kept_once_it_is_refused(server: Running) -> None:
    """Some take the refusal for leave to send their next request instead."""
    head = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n" + EXPECTING + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head)
        answer = answer_of(connection)
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"\r\nconnection: close\r\n" in answer
        connection.sendall(LIVE)
        assert b"HTTP/1.1" not in rest_of(connection)


@pytest.mark.parametrize(
    ("length", "body"),
    [
        (b"Content-Length: 3", b"abc"),
        (b"Content-Length: 0", b""),
        (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n"),
        (b"Transfer-Encoding: chunked", b"0\r\n\r\n"),
    ],
    ids=["length", "none", "chunks", "no chunk"],
)
@pytest.mark.parametrize("waits", [True, False], ids=["waits", "goes on"])
def test_a_client_that_has_sent_its_body_is_kept(
    server: Running, length: bytes, body: bytes, *, waits: bool
) -> None:
    head = b"POST /embed HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n" + EXPECTING + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head if waits else head + body)
        if waits and body:
            assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(body)
        assert b"\r\nconnection: close\r\n" not in answer_of(connection)
        connection.sendall(LIVE[:-2] + b"Connection: close\r\n\r\n")
        assert b"HTTP/1.1 200" in rest_of(connection)


def test_headers_over_the_limit_may_be_sent_whole_before_the_answer_is_read(
    server: Running,
) -> None:
    answer = answers(server, LIVE[:-2] + b"X-Long: ", b"a" * SIZE, b"\r\n\r\n", LIVE)
    assert answer.startswith(b"HTTP/1.1 431")
    assert answer.count(b"HTTP/1.1") == 1
