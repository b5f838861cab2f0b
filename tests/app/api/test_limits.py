"""Limits enforced while reading, overload and deadlines."""

import concurrent.futures
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.api import compare
from app.inference import compare as scored
from tests.app.material import DIMENSION, MeanEngine, picture
from tests.app.serving import (
    Running,
    answer_of,
    comes_whole,
    compare_body,
    embed,
    half_request,
    in_thread,
    many_request,
    metric,
    reader_of_little,
    wait_until,
)


@pytest.mark.parametrize("blank", [b"", b" ", b"\t"])
def test_a_body_over_the_limit_is_refused_by_its_header(small: Running, blank: bytes) -> None:
    with socket.create_connection(("127.0.0.1", small.port), timeout=10) as connection:
        connection.sendall(
            b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            b"Content-Length: 52428800" + blank + b"\r\nExpect: 100-continue\r\n\r\n"
        )
        # The answer is the refusal, and not an invitation to send 50 MB.
        assert answer_of(connection).startswith(b"HTTP/1.1 413")


def test_fifty_megabytes_are_refused(small: Running) -> None:
    answer = small.client.post(
        "/embed", content=bytes(50_000_000), headers={"content-type": "image/png"}
    )
    assert answer.status_code == 413
    assert "100,000" in answer.json()["detail"]


@pytest.mark.parametrize(
    "kind", ["image/png", "application/json", "multipart/form-data; boundary=x"]
)
def test_a_chunked_body_is_refused_as_soon_as_it_is_over_the_limit(
    small: Running, kind: str
) -> None:
    with socket.create_connection(("127.0.0.1", small.port), timeout=10) as connection:
        connection.sendall(
            b"POST /embed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            + f"Content-Type: {kind}\r\n\r\n".encode()
        )
        start = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
        connection.sendall(b"%x\r\n%s\r\n" % (len(start), start))
        piece = b"%x\r\n%s\r\n" % (20_000, bytes(20_000))
        for _ in range(6):
            connection.sendall(piece)
        # The body never ends, and the answer is there.
        assert answer_of(connection).startswith(b"HTTP/1.1 413")


def test_a_content_length_that_is_too_short_cuts_the_body(small: Running) -> None:
    body, kind = compare_body(picture(1), picture(2))
    with half_request(small.port, body[: len(body) // 2], kind) as connection:
        connection.sendall(body)
        assert answer_of(connection).startswith(b"HTTP/1.1 400")


def test_a_content_length_may_have_zeros_in_front(small: Running) -> None:
    image = picture(1)
    with socket.create_connection(("127.0.0.1", small.port), timeout=10) as connection:
        connection.sendall(
            b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            b"Content-Length: %05000d\r\n\r\n%b" % (len(image), image)
        )
        assert answer_of(connection).startswith(b"HTTP/1.1 200")


def test_a_body_that_does_not_come_in_time(small: Running) -> None:
    body, kind = compare_body(picture(1), picture(2))
    head = (
        f"POST /compare HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
        f"X-Request-Timeout: 0.2\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", small.port), timeout=10) as connection:
        connection.sendall(head.encode() + body[:100])
        assert answer_of(connection).startswith(b"HTTP/1.1 408")


def test_a_client_can_shorten_the_time_and_not_lengthen_it(store: Path) -> None:
    body, kind = compare_body(picture(1), picture(2))
    head = (
        f"POST /compare HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
        f"X-Request-Timeout: 3600\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with (
        in_thread(store, store_poll_seconds=0, request_timeout=0.2) as running,
        socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection,
    ):
        connection.sendall(head.encode() + body[:100])
        assert answer_of(connection).startswith(b"HTTP/1.1 408")


def test_a_full_queue_is_said_and_what_was_accepted_is_answered(
    small: Running, engine: MeanEngine
) -> None:
    engine.gate.clear()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        accepted = [pool.submit(embed, small, 1, 2), pool.submit(embed, small, 3, 4)]
        wait_until(lambda: metric(small, "twinlens_queue_images") == 4)
        refused = embed(small, 5)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert "try again" in refused.json()["detail"]
        assert small.client.get("/livez").status_code == 200
        assert small.client.get("/readyz").status_code == 200
        engine.gate.set()
        assert [future.result().status_code for future in accepted] == [200, 200]
    assert embed(small, 5).status_code == 200


def test_a_deadline_that_passes_frees_its_place(small: Running, engine: MeanEngine) -> None:
    engine.gate.clear()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(embed, small, 1)
        assert engine.entered.acquire(timeout=10)
        late = embed(small, 2, 3, **{"x-request-timeout": "0.2"})
        assert late.status_code == 504
        assert "X-Request-Timeout" in late.json()["detail"]
        wait_until(lambda: metric(small, "twinlens_queue_images") == 1)
        engine.gate.set()
        assert first.result().status_code == 200
    # The late images never reached the device.
    assert engine.batches == [(1, "left")]


def test_an_engine_that_fails_on_an_image_is_a_problem_and_no_more(
    small: Running, engine: MeanEngine
) -> None:
    engine.error = RuntimeError("secret of the engine")
    answer = embed(small, 1)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    engine.error = None
    assert embed(small, 1).status_code == 200


def test_many_requests_at_once_are_all_answered_with_their_own(small: Running) -> None:
    expected = [embed(small, seed).json()["embeddings"][0] for seed in range(6)]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        seeds = [n % 6 for n in range(60)]
        answers = list(pool.map(lambda seed: embed(small, seed), seeds))
    assert {answer.status_code for answer in answers} <= {200, 429}
    served = [(s, a) for s, a in zip(seeds, answers, strict=True) if a.status_code == 200]
    assert served
    for seed, answer in served:
        assert answer.json()["embeddings"][0] == pytest.approx(expected[seed], rel=1e-4, abs=1e-5)


def test_bodies_in_work_are_bounded_in_bytes(small: Running, engine: MeanEngine) -> None:
    content = bytes(90_000)
    connections = []
    head = (
        b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        b"Content-Length: 90001\r\n\r\n"
    )
    try:
        for _ in range(2):
            connections.append(socket.create_connection(("127.0.0.1", small.port), timeout=10))
            connections[-1].sendall(head + content)
        wait_until(lambda: metric(small, "twinlens_queue_bytes") == 180_000)
        refused = small.client.post(
            "/embed", content=content, headers={"content-type": "image/png"}
        )
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert "MiB" in refused.json()["detail"]
        assert embed(small, 1).status_code == 200

        def pieces() -> Iterator[bytes]:
            for _ in range(9):
                yield bytes(10_000)

        chunked = small.client.post(
            "/embed", content=pieces(), headers={"content-type": "image/png"}
        )
        assert chunked.status_code == 429
    finally:
        for connection in connections:
            connection.close()
    wait_until(lambda: metric(small, "twinlens_queue_bytes") == 0)


def test_answers_that_their_clients_are_still_to_read_count_like_bodies(store: Path) -> None:
    bodies = {"max_body_bytes": 2_000_000, "max_many_body_bytes": 2_000_000}

    def many(running: Running) -> socket.socket:
        connection = reader_of_little(running.port, 65_536)
        # Four megabytes of answer to one of body.
        connection.sendall(many_request(20_000))
        return connection

    with in_thread(store, store_poll_seconds=0, queue_bytes=4_500_000, **bodies) as running:
        for reads in (True, False):
            with many(running) as reader:
                wait_until(lambda: metric(running, "twinlens_queue_bytes") > 3_500_000)
                with many(running) as refused:
                    assert answer_of(refused).startswith(b"HTTP/1.1 429")
                assert embed(running, 1).status_code == 200
                assert metric(running, "twinlens_queue_bytes") > 3_500_000
                assert not reads or comes_whole(reader)
            wait_until(lambda: metric(running, "twinlens_queue_bytes") == 0)
            with many(running) as reader:
                assert comes_whole(reader)


class Held:
    """A function that, once called, holds up its thread until the gate is open."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function
        self.begun, self.gate = threading.Event(), threading.Event()

    def __call__(self, *args: object) -> object:
        self.begun.set()
        assert self.gate.wait(30)
        return self._function(*args)


def many(running: Running, candidates: int, **headers: str) -> httpx.Response:
    rows = np.ones((candidates, DIMENSION), "<f4").tobytes()
    files = [("query", picture(1)), ("embeddings", rows)]
    return httpx.post(
        f"http://127.0.0.1:{running.port}/compare/many", files=files, headers=headers, timeout=30
    )


def test_a_long_ranking_is_written_while_others_are_answered(
    small: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = Held(compare.json_records)
    monkeypatch.setattr(compare, "json_records", writing)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(many, small, 2000)
        assert writing.begun.wait(10)
        assert small.client.get("/livez", timeout=10).status_code == 200
        writing.gate.set()
        assert [each["index"] for each in answer.result().json()["results"]] == [*range(2000)]


def test_bytes_that_are_still_being_scored_count_also_once_the_deadline_has_passed(
    small: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    scoring = Held(scored.judge)
    monkeypatch.setattr(scored, "judge", scoring)
    monkeypatch.setattr(scored, "_VALUES_INLINE", 0)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(many, small, 100, **{"x-request-timeout": "0.2"})
        assert scoring.begun.wait(10)
        concurrent.futures.wait([answer], timeout=0.4)
        assert metric(small, "twinlens_queue_bytes") > 100 * DIMENSION * 4
        scoring.gate.set()
        assert answer.result().status_code == 504
    wait_until(lambda: metric(small, "twinlens_queue_bytes") == 0)


def test_one_against_many_has_limits_of_its_own(small: Running) -> None:
    def many(candidates: int, *, raw: bool) -> httpx.Response:
        rows = np.ones((candidates, DIMENSION), "<f4")
        if raw:
            files = [("query", picture(1)), ("embeddings", rows.tobytes())]
            return small.client.post("/compare/many", files=files)
        body = {"query": [1] * DIMENSION, "candidates": rows.astype(int).tolist()}
        return small.client.post("/compare/many", json=body)

    for raw in (True, False):
        # Over 100,000 bytes as raw numbers, which another route would not read.
        most = many(2000, raw=raw)
        assert most.status_code == 200, most.text
        assert len(most.json()["results"]) == 2000
        refused = many(2001, raw=raw)
        assert refused.status_code == 413
        assert "2,001 are over the limit of 2,000" in refused.json()["detail"]
    too_large = many(4000, raw=True)
    assert too_large.status_code == 413
    assert "200,000 bytes" in too_large.json()["detail"]


def test_as_many_images_as_are_allowed_come_with_all_the_other_fields(small: Running) -> None:
    images = [picture(seed) for seed in range(4)]
    embedded = small.client.post(
        "/embed",
        files=[("images", image) for image in images],
        data={"model": "tiny", "side": "left"},
    )
    assert embedded.status_code == 200, embedded.text
    ranked = small.client.post(
        "/compare/many",
        files=[("query", images[0]), *(("candidates", image) for image in images[1:])],
        data={"model": "tiny"},
    )
    assert ranked.status_code == 200, ranked.text
    assert len(ranked.json()["results"]) == 3


@pytest.mark.parametrize(
    "values",
    [b"0," * 1_000_000 + b"0", b",".join([b"[" * 1000 + b"]" * 1000] * 1000)],
    ids=["numbers", "lists in lists"],
)
def test_json_of_more_values_than_can_be_parsed_in_passing_is_refused(
    store: Path, values: bytes
) -> None:
    with in_thread(store, store_poll_seconds=0) as running:
        answer = running.client.post(
            "/compare/many",
            content=b'{"query":[' + values + b'],"candidates":[]}',
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == 413
        assert "float32" in answer.json()["detail"]
