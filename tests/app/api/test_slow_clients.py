"""Clients that are slow: with headers, with a body that was refused, with reading the answer."""

import socket
import time
from pathlib import Path

import pytest

from tests.app.material import MeanEngine, picture
from tests.app.serving import (
    LARGE,
    Running,
    answer_of,
    comes_whole,
    compare_body,
    half_request,
    in_thread,
    many_request,
    reader_of_little,
    send_on,
    wait_until,
)


def closed(connection: socket.socket) -> bytes:
    """All that the server sends until it closes the connection."""
    data = b""
    try:
        while chunk := connection.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


def test_headers_that_do_not_come_in_time(small: Running) -> None:
    with socket.create_connection(("127.0.0.1", small.port), timeout=10) as connection:
        connection.sendall(b"POST /embed HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        answer = closed(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"within 0.3 s" in answer, "as the setting says"


def test_headers_that_the_server_does_not_read_are_not_too_slow(
    small: Running, engine: MeanEngine
) -> None:
    engine.gate.clear()
    body, kind = compare_body(picture(1), picture(2))
    live = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    with half_request(small.port, body, kind) as connection:
        connection.sendall(body)
        assert engine.entered.acquire(timeout=10)
        # With a request that waits for its turn, no more is read.
        connection.sendall(live + live[:20])
        time.sleep(1)
        connection.sendall(live[20:])
        engine.gate.set()
        received = b""
        while received.count(b"HTTP/1.1") < 3:
            piece = connection.recv(65_536)
            assert piece, received
            received += piece
    assert received.count(b"HTTP/1.1 200") == 3


def test_headers_without_end(small: Running) -> None:
    with socket.create_connection(("127.0.0.1", small.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 70_000)
        assert closed(connection).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("target", [b"//\xff", b"http://[", b"/%ff%fe"])
def test_a_target_that_is_no_path(small: Running, target: bytes) -> None:
    with socket.create_connection(("127.0.0.1", small.port), timeout=10) as connection:
        connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert closed(connection).split()[1] in (b"400", b"404")


def test_a_refused_body_that_never_ends_is_hung_up_on(small: Running) -> None:
    with socket.create_connection(("127.0.0.1", small.port), timeout=10) as connection:
        connection.sendall(
            b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            b"Content-Length: 52428800\r\n\r\n0123"
        )
        assert closed(connection).startswith(b"HTTP/1.1 413")


def test_after_a_refused_body_that_ends_the_connection_goes_on(small: Running) -> None:
    with socket.create_connection(("127.0.0.1", small.port), timeout=10) as connection:
        connection.sendall(
            b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
            b"Content-Length: 4\r\n\r\n0123"
        )
        assert answer_of(connection).startswith(b"HTTP/1.1 415")
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer_of(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("request_", "rest"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"", b"\r\n", id="an empty line"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", b"", id="a request"),
        pytest.param(
            b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            b"Content-Length: 99999999\r\n\r\n",
            bytes(99_999_999),
            id="a body that was refused unread",
        ),
    ],
)
def test_an_idle_connection_is_closed(
    store: Path, monkeypatch: pytest.MonkeyPatch, request_: bytes, rest: bytes
) -> None:
    monkeypatch.setattr("app.server._KEEP_ALIVE_SECONDS", 0.3)
    with (
        in_thread(store, store_poll_seconds=0) as running,
        socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection,
    ):
        if request_:
            connection.sendall(request_)
            assert answer_of(connection).startswith(b"HTTP/1.1")
        connection.sendall(rest)
        closed(connection)


def test_a_client_that_does_not_read_is_hung_up_on(
    small: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with reader_of_little(small.port) as connection:
        connection.sendall(LARGE * 20)
        # Nothing is in work any more, and most of it was never taken.
        in_flight = small.app.state.in_flight
        wait_until(lambda: in_flight.requests > 0)
        wait_until(lambda: in_flight.requests == 0)
        assert len(closed(connection)) < 20 * 1_000_000
    assert "unexpected error" not in caplog.text


def test_a_client_that_sends_on_and_does_not_read_is_hung_up_on_too(small: Running) -> None:
    with reader_of_little(small.port) as connection:
        connection.sendall(LARGE * 20)
        in_flight = small.app.state.in_flight
        wait_until(lambda: in_flight.requests > 0)
        send_on(connection)
        wait_until(lambda: in_flight.requests == 0)


def keep_little_in_the_system(running: Running, size: int) -> None:
    """What waits in the system on its way out would be the client's already."""
    listening = running.server.servers[0].sockets[0]
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


def test_a_client_that_does_not_read_the_last_of_its_answer_is_hung_up_on(store: Path) -> None:
    """Little enough is left that the server's transport does not ask for it to be read."""
    with in_thread(store, store_poll_seconds=0, slow_client_seconds=0.3) as running:
        keep_little_in_the_system(running, 4096)
        connections = running.server.server_state.connections
        others = len(connections)
        with reader_of_little(running.port) as connection:
            connection.sendall(
                b"GET /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            wait_until(lambda: len(connections) > others)
            wait_until(lambda: len(connections) == others)
            assert len(closed(connection)) < len(running.client.get("/openapi.json").content)


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_a_client_that_reads_slowly_and_steadily_gets_all_of_its_answer(
    store: Path, connection: str
) -> None:
    """It takes more than twice as long as a client may take to read on."""
    with in_thread(store, store_poll_seconds=0, slow_client_seconds=1) as running:
        keep_little_in_the_system(running, 16_384)
        with reader_of_little(running.port, 16_384) as reader:
            reader.sendall(many_request(3000, connection))
            assert comes_whole(reader, pause=0.06)


def test_a_client_that_reads_steadily_is_not_hung_up_on_for_what_the_system_holds(
    store: Path,
) -> None:
    """Its buffer, left alone, grows to megabytes, and takes more once a third of it is read."""
    with in_thread(store, store_poll_seconds=0, slow_client_seconds=1) as running:
        connections = running.server.server_state.connections
        others = len(connections)
        with reader_of_little(running.port, 16_384) as reader:
            reader.sendall(many_request(20_000))
            wait_until(lambda: len(connections) > others)
            end = time.monotonic() + 3.5
            while time.monotonic() < end:
                assert reader.recv(20_000)
                assert len(connections) > others
                time.sleep(0.15)


def test_a_client_that_reads_next_to_nothing_of_its_answer_is_hung_up_on(store: Path) -> None:
    with in_thread(store, store_poll_seconds=0, slow_client_seconds=1) as running:
        keep_little_in_the_system(running, 16_384)
        connections = running.server.server_state.connections
        others = len(connections)
        with reader_of_little(running.port, 16_384) as reader:
            reader.sendall(many_request(3000, "keep-alive"))
            wait_until(lambda: len(connections) > others)
            end = time.monotonic() + 30
            while len(connections) > others and time.monotonic() < end:
                reader.recv(512)
                time.sleep(0.2)
            assert len(connections) == others
