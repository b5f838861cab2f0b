"""What is turned away unread while the queue is full, and what is not."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from app.inference.catalogue import LoadedModel
from tests.app.material import MeanEngine, picture
from tests.app.serving import Running, in_thread, wait_until

_KEPT = picture(100)


# Bytes of the cache, and how often a picture that is in it has been asked for.
_NO_CACHE = (0, 1)
_UNUSED_CACHE = (1 << 20, 1)
_USED_CACHE = (1 << 20, 20)


@pytest.fixture(
    params=[_NO_CACHE, _UNUSED_CACHE, _USED_CACHE],
    ids=["without a cache", "with one of no use", "with one of use"],
)
def full(store: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    """A service whose queue is full, and whose cache, if it has one, holds a picture."""
    cache_bytes, asked = request.param
    settings = {"store_poll_seconds": 0, "queue_images": 2, "max_images": 2}
    with (
        in_thread(store, cache_bytes=cache_bytes, **settings) as running,
        ThreadPoolExecutor(2) as others,
    ):
        before = running.service.catalogue
        engine = MeanEngine()
        old = before.models["tiny"]
        model = LoadedModel(old.manifest, old.network, engine)
        running.service._library._catalogue = replace(
            before, models={**before.models, "tiny": model}
        )
        for _ in range(asked):
            assert embed(running, _KEPT).status_code == 200
        engine.gate.clear()
        waiting = [others.submit(embed, running, picture(seed)) for seed in range(2)]
        wait_until(lambda: running.service.admission.outstanding == 2)
        yield running
        engine.gate.set()
        assert [each.result().status_code for each in waiting] == [200, 200]


def embed(running: Running, image: bytes) -> httpx.Response:
    url = f"http://127.0.0.1:{running.port}/embed"
    return running.client.post(url, content=image, headers={"content-type": "image/png"})


def test_a_new_picture_is_turned_away(full: Running) -> None:
    answer = embed(full, picture(3))
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["type"].endswith("queue-full")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    value = full.service.metrics.registry.get_sample_value
    labels = {"route": "/embed", "method": "POST", "status": "429"}
    assert value("twinlens_requests_total", labels) == 1
    assert value("twinlens_rejections_total", {"reason": "queue-full"}) == 1


@pytest.mark.parametrize("full", [_USED_CACHE], indirect=True)
def test_a_picture_that_is_kept_is_not(full: Running) -> None:
    assert [embed(full, _KEPT).status_code for _ in range(20)] == [200] * 20


@pytest.mark.parametrize("full", [_UNUSED_CACHE], indirect=True)
def test_that_pictures_come_again_is_noticed(full: Running) -> None:
    first = [embed(full, _KEPT).status_code for _ in range(3 * 32)]
    assert sorted(first) == [200] * 3 + [429] * 93
    assert [embed(full, _KEPT).status_code for _ in range(10)] == [200] * 10


def test_embeddings_are_compared_all_the_same(full: Running) -> None:
    """They need no place in the queue."""
    vectors = {"query": [0.0] * 16, "candidates": [[0.0] * 16, [1.0] * 16]}
    answer = full.client.post("/compare/many", json=vectors)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("full", [_NO_CACHE, _UNUSED_CACHE], indirect=True)
def test_where_nothing_comes_again_the_body_is_not_waited_for(full: Running) -> None:
    head = b"POST /compare HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    with socket.create_connection(("127.0.0.1", full.port), timeout=10) as connection:
        connection.sendall(head + b"Content-Length: 1000\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 429")
