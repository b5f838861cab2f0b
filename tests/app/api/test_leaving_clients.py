"""Clients that leave: their work is dropped, and nobody else is taken for gone."""

import base64
import concurrent.futures
import socket
import threading
import time
from collections.abc import Callable

import orjson
import pytest

from app import protocol
from app.api import fields
from app.inference import threads
from tests.app.material import MeanEngine, picture
from tests.app.serving import (
    LIVE,
    Running,
    compare_body,
    embed,
    half_request,
    metric,
    wait_until,
)


def test_a_client_that_leaves_while_sending_is_noticed(small: Running) -> None:
    before = metric(small, "twinlens_rejections_total", reason="client-gone")
    body, kind = compare_body(picture(1), picture(2))
    with half_request(small.port, body, kind) as connection:
        connection.sendall(body[:100])
    wait_until(
        lambda: metric(small, "twinlens_rejections_total", reason="client-gone") == before + 1
    )


@pytest.mark.parametrize("behind", [b"", LIVE], ids=["alone", "with a request behind it"])
def test_work_whose_client_has_gone_is_dropped(
    small: Running, engine: MeanEngine, behind: bytes
) -> None:
    dropped = metric(small, "twinlens_dropped_images_total", where="queue")
    engine.gate.clear()
    body, kind = compare_body(picture(1), picture(2))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(embed, small, 9)
        assert engine.entered.acquire(timeout=10)
        with half_request(small.port, body, kind) as connection:
            connection.sendall(body + behind)
            wait_until(lambda: metric(small, "twinlens_device_queue_images") == 2)
        wait_until(
            lambda: metric(small, "twinlens_dropped_images_total", where="queue") == dropped + 2
        )
        # Their places are given back a turn of the event loop later.
        wait_until(lambda: metric(small, "twinlens_queue_images") == 1)
        engine.gate.set()
        assert first.result().status_code == 200
    assert engine.batches == [(1, "left")]


def test_a_client_that_waits_with_a_request_behind_another_is_not_taken_to_have_gone(
    small: Running, engine: MeanEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "_LOOK_SECONDS", 0.01)
    engine.gate.clear()
    body, kind = compare_body(picture(1), picture(2))
    with half_request(small.port, body, kind) as connection:
        connection.sendall(body + LIVE)
        assert engine.entered.acquire(timeout=10)
        time.sleep(0.1)
        engine.gate.set()
        answers = b""
        while answers.count(b"HTTP/1.1 200") < 2:
            answers += connection.recv(65536) or pytest.fail("cut off")


def test_a_client_that_leaves_while_the_service_drains_counts_as_gone(
    small: Running, engine: MeanEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted() -> tuple[float, float]:
        return (
            metric(small, "twinlens_requests_total", route="/compare", method="POST", status="499"),
            metric(small, "twinlens_rejections_total", reason="client-gone"),
        )

    answered, gone = counted()
    engine.gate.clear()
    body, kind = compare_body(picture(1), picture(2))
    with half_request(small.port, body, kind) as connection:
        connection.sendall(body)
        assert engine.entered.acquire(timeout=10)
        monkeypatch.setattr(small.service, "_draining", True)
    wait_until(lambda: counted() == (answered + 1, gone + 1))


def test_a_client_that_sends_everything_and_leaves_at_once_is_not_decoded_for(
    small: Running,
) -> None:
    def counts() -> tuple[float, float, float]:
        return (
            metric(small, "twinlens_rejections_total", reason="client-gone"),
            metric(small, "twinlens_dropped_images_total", where="decode"),
            metric(small, "twinlens_stage_seconds_count", stage="decode"),
        )

    gone, dropped, decoded = counts()
    body, kind = compare_body(picture(1), picture(2))
    head = (
        f"POST /compare HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    # The server's loop stands still while clients come and go, so that it finds them gone.
    left = threading.Event()
    small.service._batcher._loop.call_soon_threadsafe(left.wait, 10)
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", small.port), timeout=10) as connection:
            connection.sendall(head.encode() + body)
    left.set()
    wait_until(lambda: counts() == (gone + 2, dropped + 4, decoded))


_TEXT = base64.b64encode(picture(1)).decode()
_IN_JSON = pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embed", {"images": [_TEXT] * 3}),
        ("/compare", {"image_a": _TEXT, "image_b": _TEXT}),
        ("/compare/many", {"query": _TEXT, "candidates": [_TEXT] * 2}),
    ],
)
Before = Callable[[Callable[[], None]], list[str]]


@pytest.fixture
def before_the_first(monkeypatch: pytest.MonkeyPatch) -> Before:
    """Has something done before the first image's base64; gives the images of which it is made."""
    monkeypatch.setattr(threads, "_INLINE_BYTES", 1)
    decode = fields._from_base64

    def put(wait: Callable[[], None]) -> list[str]:
        begun: list[str] = []

        def decode_later(label: str, value: object, max_bytes: int) -> bytes:
            begun.append(label)
            if len(begun) == 1:
                wait()
            return decode(label, value, max_bytes)

        monkeypatch.setattr(fields, "_from_base64", decode_later)
        return begun

    return put


@_IN_JSON
def test_once_the_time_is_over_no_more_base64_is_decoded(
    small: Running, before_the_first: Before, path: str, body: dict[str, object]
) -> None:
    begun = before_the_first(lambda: time.sleep(1.5))
    answer = small.client.post(path, json=body, headers={"x-request-timeout": "1"})
    assert answer.status_code == 504, answer.text
    assert len(begun) == 1


@_IN_JSON
def test_once_the_client_has_left_no_more_base64_is_decoded(
    small: Running, before_the_first: Before, path: str, body: dict[str, object]
) -> None:
    gone = metric(small, "twinlens_rejections_total", reason="client-gone")
    decoding, left = threading.Event(), threading.Event()

    def wait() -> None:
        decoding.set()
        assert left.wait(30)

    begun = before_the_first(wait)
    connections = small.server.server_state.connections
    others = set(connections)
    text = orjson.dumps(body)
    with half_request(small.port, text, "application/json", path) as connection:
        connection.sendall(text)
        assert decoding.wait(30)
    wait_until(lambda: not set(connections) - others)
    left.set()
    wait_until(lambda: metric(small, "twinlens_rejections_total", reason="client-gone") == gone + 1)
    assert len(begun) == 1
