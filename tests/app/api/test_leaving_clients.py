"""Clients that leave: their work is dropped, and nobody else is taken for gone."""

import concurrent.futures
import socket
import threading
import time

import pytest

from app import protocol
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
