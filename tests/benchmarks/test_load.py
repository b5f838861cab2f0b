import asyncio
import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

from benchmarks import load
from benchmarks.connection import HOST

IMAGE = b"\xff\xd8 not much of a JPEG"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STALL = b""
REFUSAL = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"


def split(request: bytes) -> tuple[dict[str, str], bytes]:
    head, body = request.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    assert lines[0].startswith("POST /")
    return dict(line.split(": ", 1) for line in lines[1:]), body


@pytest.mark.parametrize("kind", load.BODIES)
def test_every_request_says_how_long_it_is(kind: str) -> None:
    headers, body = split(load.BODIES[kind](IMAGE).encode())
    assert int(headers["Content-Length"]) == len(body)


def test_each_form_holds_the_image() -> None:
    assert split(load.BODIES["raw"](IMAGE).encode())[1] == IMAGE
    content = json.loads(split(load.BODIES["base64-list"](IMAGE).encode())[1])
    assert base64.b64decode(content["images"][0]) == IMAGE


def test_a_binary_tensor_follows_its_description() -> None:
    headers, body = split(load.BODIES["v2-binary"](IMAGE).encode())
    size = int(headers["Inference-Header-Content-Length"])
    (tensor,) = json.loads(body[:size])["inputs"]
    values = body[size:]
    assert tensor["parameters"]["binary_data_size"] == len(values)
    assert int.from_bytes(values[:4], "little") == len(IMAGE)
    assert values[4:] == IMAGE


def test_requests_are_taken_from_a_folder_in_order(tmp_path: Path) -> None:
    (tmp_path / "2").write_bytes(b"second")
    (tmp_path / "1").write_bytes(b"first")
    (tmp_path / "folder").mkdir()
    assert load.requests_in(tmp_path) == [b"first", b"second"]


def test_a_folder_without_requests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no requests"):
        load.requests_in(tmp_path)


def measured(answers: list[bytes], pause: float = 0.0, **options: float) -> dict[str, object]:
    """What is measured against a server that gives its answers in turn, on each connection.

    It works on one request at a time, and takes the pause for each.
    """
    works = asyncio.Lock()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        turn = 0
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                async with works:
                    await asyncio.sleep(pause)
                if answers[turn % len(answers)] is STALL:
                    await asyncio.sleep(0.3)
                    break
                writer.write(answers[turn % len(answers)])
                turn += 1
        except asyncio.IncompleteReadError:
            pass
        writer.close()

    async def run() -> dict[str, object]:
        server = await asyncio.start_server(serve, HOST, 0)
        port = server.sockets[0].getsockname()[1]
        made = [load.Message("/embed", "image/jpeg", IMAGE).encode()]
        try:
            return await load.measure(port, 0.1, made=made, **options)
        finally:
            server.close()

    return uvloop.run(run())


def test_refusals_are_counted_apart_and_the_warm_up_only_among_the_answered() -> None:
    found = measured([ANSWER, REFUSAL], warm_up=0.1)
    assert set(found["failures"]) == {"429"}
    in_time = round(found["images_per_second"] * 0.1)
    assert 0 < in_time < found["answered"]
    assert abs(found["failures"]["429"] - found["answered"]) <= 2


def test_where_nothing_is_answered_there_is_no_latency() -> None:
    found = measured([REFUSAL])
    assert (found["p50_ms"], found["p99_ms"], found["answered"]) == (None, None, 0)


def test_an_open_loop_sends_as_many_as_are_due() -> None:
    assert measured([ANSWER], rate=200.0)["answered"] == 20


def test_in_an_open_loop_a_slow_server_has_its_own_rate_and_not_the_offered_one() -> None:
    found = measured([ANSWER], pause=0.02, rate=200.0)
    assert found["answered"] == 20
    assert found["images_per_second"] <= 1 / 0.02


def test_failures_of_an_open_loop_s_warm_up_are_told() -> None:
    found = measured([REFUSAL], rate=200.0, warm_up=0.05)
    assert found["failures"]["429"] > 20


def test_what_is_still_not_answered_at_the_end_is_told_where_it_waited_longest() -> None:
    assert measured([ANSWER, STALL], concurrency=3)["overdue"] == 3
    tally = load.Tally(longest=0.2, pending=[0.1, 0.2, 0.3])
    assert tally.overdue == 1


def test_a_port_that_is_not_one_is_refused() -> None:
    command = [sys.executable, "-m", "benchmarks.load", "http", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "invalid int value: 'http'" in done.stderr
