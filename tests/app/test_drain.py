"""How the process ends."""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import orjson
import pytest

from app.server import _LAST_SECONDS
from tests.app.material import picture
from tests.app.serving import (
    LARGE,
    REPOSITORY,
    comes_whole,
    compare_body,
    half_request,
    in_process,
    many_request,
    reader_of_little,
    send_on,
    wait_until,
)


def received(connection: socket.socket) -> bytes:
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    return data


@pytest.fixture(scope="module")
def body() -> tuple[bytes, str]:
    return compare_body(picture(1), picture(2))


def test_sigterm_finishes_what_was_accepted_and_exits_0(store, body) -> None:
    content, kind = body
    with in_process(store) as process:
        url = f"http://127.0.0.1:{process.port}"
        with half_request(process.port, content, kind) as connection:
            connection.sendall(content[:100])
            process.popen.send_signal(signal.SIGTERM)
            wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 503)
            assert "shutting down" in httpx.get(f"{url}/readyz").json()["detail"]
            alive = httpx.get(f"{url}/livez", headers={"connection": "keep-alive"})
            assert (alive.status_code, alive.headers["connection"]) == (200, "close")
            new = httpx.post(f"{url}/compare", content=content, headers={"content-type": kind})
            assert new.status_code == 503
            assert process.popen.poll() is None
            connection.sendall(content[100:])
            answer = received(connection)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert b'"score"' in answer
        assert process.popen.wait(30) == 0
        # One line a request, each a JSON object.
        lines = [line for line in process.lines if line["logger"] == "twinlens.request"]
        assert {(line["path"], line["status"]) for line in lines} == {
            ("/compare", 200),
            ("/compare", 503),
        }


@pytest.mark.parametrize("closed", ["<&-", "<&- >&-"])
def test_it_ends_with_status_0_where_standard_streams_were_closed(store, closed: str) -> None:
    """uvloop aborted the process."""
    settings = {"MODEL_STORE": str(store), "PORT": "0", "ENGINE": "torch"}
    with subprocess.Popen(
        ["sh", "-c", f'exec "$0" -m app {closed}', sys.executable],
        cwd=REPOSITORY,
        env={**os.environ, **{f"TWINLENS_{name}": value for name, value in settings.items()}},
        stderr=subprocess.PIPE,
    ) as popen:
        assert popen.stderr is not None
        next(line for line in popen.stderr if b"running on http" in line)
        popen.send_signal(signal.SIGTERM)
        popen.stderr.read()
        assert popen.wait(30) == 0


def test_a_body_that_is_refused_may_be_sent_whole_before_the_answer_is_read(store, body) -> None:
    content, kind = body
    size = 20_000_000
    with (
        in_process(store) as process,
        half_request(process.port, content, kind) as accepted,
        socket.create_connection(("127.0.0.1", process.port), timeout=30) as refused,
    ):
        process.popen.send_signal(signal.SIGTERM)
        url = f"http://127.0.0.1:{process.port}/readyz"
        wait_until(lambda: httpx.get(url).status_code == 503)
        refused.sendall(b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        assert refused.recv(1, socket.MSG_PEEK)
        accepted.sendall(content)
        assert received(accepted).startswith(b"HTTP/1.1 200")
        # Time for the process to end.
        time.sleep(0.5)
        refused.sendall(bytes(size))
        assert received(refused).startswith(b"HTTP/1.1 503")
        refused.close()
        assert process.popen.wait(30) == 0


def test_ctrl_c_drains_too(store) -> None:
    with in_process(store) as process:
        process.popen.send_signal(signal.SIGINT)
        assert process.popen.wait(30) == 0
    assert "SIGINT: draining" in [line["message"] for line in process.lines]


def test_the_draining_time_is_a_bound_and_a_second_signal_ends_at_once(store, body) -> None:
    content, kind = body
    with (
        in_process(store, TWINLENS_DRAIN_SECONDS="0.3") as process,
        half_request(process.port, content, kind) as connection,
    ):
        connection.sendall(content[:100])
        process.popen.send_signal(signal.SIGTERM)
        answer = received(connection)
        assert process.popen.wait(30) == 0
    head, _, sent = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503")
    assert b"\r\nretry-after: 5\r\n" in head
    told = orjson.loads(sent)
    assert told["type"] == "urn:twinlens:problem:not-ready"
    assert f"\r\nx-request-id: {told['request_id']}\r\n".encode() in head
    lines = [line for line in process.lines if line["logger"] == "twinlens.request"]
    assert [(line["request_id"], line["status"]) for line in lines] == [(told["request_id"], 503)]
    said = [line for line in process.lines if line["logger"] == "uvicorn.error"]
    assert not any("exception" in line for line in said)
    with in_process(store) as process, half_request(process.port, content, kind) as connection:
        connection.sendall(content[:100])
        process.popen.send_signal(signal.SIGTERM)
        url = f"http://127.0.0.1:{process.port}/readyz"
        wait_until(lambda: httpx.get(url).status_code == 503)
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(30) == 1


def test_a_client_that_does_not_read_is_not_waited_for_until_the_draining_time_is_over(
    store,
) -> None:
    with (
        in_process(
            store, TWINLENS_DRAIN_SECONDS="3600", TWINLENS_SLOW_CLIENT_SECONDS="2"
        ) as process,
        reader_of_little(process.port) as connection,
    ):
        connection.sendall(LARGE * 20)
        # Time for the server to have written all that there is room for, but not to hang up.
        assert connection.recv(1)
        time.sleep(1)
        send_on(connection)
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(30) == 0


def test_an_answer_that_is_made_is_sent_to_its_end(store) -> None:
    with in_process(store) as process, reader_of_little(process.port, 65_536) as connection:
        # More than the system takes of what a client has not read.
        connection.sendall(many_request(40_000))
        wait_until(lambda: "/compare/many" in [line.get("path") for line in process.lines])
        process.popen.send_signal(signal.SIGTERM)
        time.sleep(_LAST_SECONDS + 0.5)
        assert comes_whole(connection)
        assert process.popen.wait(30) == 0


def test_settings_that_are_wrong_are_said_by_name() -> None:
    environment = {**os.environ, "TWINLENS_PORT": "x", "TWINLENS_MAX_IMAGES": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "app"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "TWINLENS_PORT" in done.stderr
    assert "TWINLENS_MAX_IMAGES" in done.stderr
    assert "Traceback" not in done.stderr
