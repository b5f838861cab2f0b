"""What a request brought is gone when it is: bodies are bounded only while they are in work.

The garbage collector would come upon it in the end, gigabytes later.
"""

import base64
import gc
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from app.inference import compare, decode
from tests.app.garbage import left, uncollected
from tests.app.material import DIMENSION, MeanEngine, encode, picture
from tests.app.serving import (
    Running,
    answer_of,
    compare_body,
    half_request,
    many_request,
    metric,
    wait_until,
)

PICTURE = picture(1)
MULTIPART = "multipart/form-data; boundary=edge"
ROWS = np.ones((9, DIMENSION), "<f4")


@pytest.fixture(scope="module", autouse=True)
def _no_collector(small: Running) -> Iterator[None]:
    with uncollected():
        yield


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    # The log of a test keeps the traces that are logged. Loggers remember what they may log, and
    # by this they forget it.
    logging.disable(logging.CRITICAL)
    try:
        before = left()
        yield
        # A request ends a moment after its answer.
        end = time.monotonic() + 5
        while left() - before and time.monotonic() < end:
            time.sleep(0.01)
        assert not left() - before
    finally:
        logging.disable(logging.NOTSET)


def _part(name: str, content: bytes) -> bytes:
    header = f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
    return header.encode() + content + b"\r\n--edge--"


def _embed(body: bytes, kind: str = "image/png", **headers: str) -> Callable[[Running], int]:
    def send(small: Running) -> int:
        named = {"content-type": kind, **headers}
        return small.client.post("/embed", content=body, headers=named).status_code

    return send


def _many(rows: np.ndarray = ROWS, **parts: bytes) -> Callable[[Running], int]:
    files = {"query": PICTURE, "embeddings": rows.tobytes(), **parts}
    return lambda small: small.client.post("/compare/many", files=files).status_code


@pytest.mark.parametrize(
    ("status", "send"),
    [
        pytest.param(200, _embed(PICTURE), id="nothing amiss"),
        pytest.param(200, _many(), id="many"),
        pytest.param(415, _embed(b"no image" * 99), id="no image"),
        pytest.param(422, _embed(PICTURE[:-100]), id="cut short"),
        pytest.param(400, _embed(b"{", "application/json"), id="no JSON"),
        pytest.param(400, _embed(b'{"images":["%"]}', "application/json"), id="no base64"),
        pytest.param(415, _embed(PICTURE, "text/plain"), id="media type"),
        pytest.param(400, _embed(PICTURE, MULTIPART), id="no boundary"),
        pytest.param(400, _embed(b"--edge\r\n\r\n" + bytes(40_000), MULTIPART), id="no name"),
        pytest.param(400, _embed(b"--edge\r\nbad\r\n\r\n", MULTIPART), id="no headers"),
        pytest.param(413, _embed(_part("model", bytes(5000)), MULTIPART), id="too long a text"),
        pytest.param(400, _embed(_part("images", PICTURE)[:-8], MULTIPART), id="no end"),
        pytest.param(413, _many(np.ones((2001, DIMENSION), "<f4")), id="too many candidates"),
        pytest.param(400, _many(unknown=b"x"), id="unknown field"),
        pytest.param(404, _many(model=b"unknown"), id="unknown model"),
    ],
)
def test_nothing_is_left_of(small: Running, status: int, send: Callable[[Running], int]) -> None:
    assert [send(small) for _ in range(3)] == [status] * 3


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (413, _part("model", bytes(5000)) * 9),
        (400, b"--edge\r\nbad\r\n\r\n" + bytes(40_000)),
    ],
    ids=["too long a text", "no headers"],
)
def test_nothing_is_left_of_a_body_that_is_refused_while_it_is_sent(
    small: Running, status: int, body: bytes
) -> None:
    with half_request(small.port, body, MULTIPART, "/embed") as connection:
        for start in range(0, len(body), 5000):
            connection.sendall(body[start : start + 5000])
            time.sleep(0.005)
        assert answer_of(connection).startswith(b"HTTP/1.1 %d" % status)


def _in_pieces(small: Running, body: bytes) -> int:
    """Sends a body without saying how long it is."""
    pieces = (body[start : start + 20_000] for start in range(0, len(body), 20_000))
    headers = {"content-type": MULTIPART}
    return small.client.post("/compare/many", content=pieces, headers=headers).status_code


def test_nothing_is_left_of_a_body_that_turns_out_to_be_over_the_limit(small: Running) -> None:
    assert _in_pieces(small, _part("embeddings", bytes(210_000))) == 413


def test_nothing_is_left_of_images_that_there_is_no_room_for(
    small: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small.service.admission, "outstanding", 4)
    assert _many()(small) == 429


def test_nothing_is_left_of_a_body_that_there_turns_out_to_be_no_room_for(
    small: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small.service.admission, "held_bytes", 200_000)
    assert _in_pieces(small, _part("embeddings", bytes(100_000))) == 429


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("unforeseen"), 500), (MemoryError(), 503)], ids=repr
)
def test_nothing_is_left_of_an_image_whose_decoding_fails(
    small: Running, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(data: bytes, *_: object, **__: object) -> None:
        raise type(error)(*error.args)

    monkeypatch.setattr(decode, "decode_prepared", fail)
    assert _embed(PICTURE)(small) == status


def test_nothing_is_left_of_an_image_that_an_engine_fails_on(
    small: Running, engine: MeanEngine
) -> None:
    white = encode(Image.new("RGB", (32, 32), "white"))
    assert _embed(white)(small) == 500
    assert _embed(PICTURE)(small) == 200
    assert engine.batches


def test_nothing_is_left_of_what_is_not_done_in_time(small: Running, engine: MeanEngine) -> None:
    engine.gate.clear()
    assert _embed(PICTURE, **{"x-request-timeout": "0.05"})(small) == 504
    engine.gate.set()
    assert _embed(PICTURE)(small) == 200


def test_nothing_is_left_of_candidates_that_are_refused_in_a_thread(
    small: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "_VALUES_INLINE", 0)
    assert _many()(small) == 200
    assert _many(ROWS * np.float32(np.nan))(small) == 400


def test_nothing_is_left_of_a_client_that_leaves_while_its_candidates_are_scored(
    small: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate, real = threading.Event(), threading.Event(), compare.judge

    def judge(*given: object) -> object:
        begun.set()
        assert gate.wait(10)
        return real(*given)

    monkeypatch.setattr(compare, "_VALUES_INLINE", 0)
    monkeypatch.setattr(compare, "judge", judge)
    gone = metric(small, "twinlens_rejections_total", reason="client-gone")
    with socket.create_connection(("127.0.0.1", small.port), timeout=10) as connection:
        connection.sendall(many_request(9))
        assert begun.wait(10)
    time.sleep(0.05)
    gate.set()
    wait_until(lambda: metric(small, "twinlens_rejections_total", reason="client-gone") == gone + 1)


def test_nothing_is_left_of_a_client_that_leaves_while_its_images_are_in_work(
    small: Running, engine: MeanEngine
) -> None:
    engine.gate.clear()
    body, kind = compare_body(PICTURE, picture(2))
    with half_request(small.port, body, kind) as connection:
        connection.sendall(body)
        assert engine.entered.acquire(timeout=10)
    wait_until(lambda: metric(small, "twinlens_queue_images") == 0)
    engine.gate.set()
    assert _embed(PICTURE)(small) == 200


def test_nothing_is_left_of_a_client_that_leaves_while_sending(small: Running) -> None:
    gone = metric(small, "twinlens_rejections_total", reason="client-gone")
    body = _part("images", bytes(90_000))
    with half_request(small.port, body, MULTIPART, "/embed") as connection:
        connection.sendall(body[:50_000])
        wait_until(lambda: small.service.admission.held_bytes > 40_000)
    wait_until(lambda: metric(small, "twinlens_rejections_total", reason="client-gone") == gone + 1)


def test_nothing_is_left_of_a_body_that_is_not_there_in_time(small: Running) -> None:
    head = (
        "POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\nConnection: close\r\n"
        f"X-Request-Timeout: 0.05\r\nContent-Type: {MULTIPART}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", small.port), timeout=10) as connection:
        connection.sendall(head.encode() + _part("images", bytes(5000)))
        assert answer_of(connection).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/embed", b'{"images":"IMAGE"}'),
        ("/compare", b'{"image_a":"IMAGE","image_b":"IMAGE"}'),
        ("/compare/many", b'{"query":"IMAGE","candidates":[[0%b]]}' % (b",0" * (DIMENSION - 1))),
    ],
    ids=["embed", "compare", "many"],
)
def test_what_a_json_text_held_is_gone_while_what_was_made_of_it_is_in_work(
    small: Running, engine: MeanEngine, path: str, fields: bytes
) -> None:
    engine.gate.clear()
    body = fields.replace(b"IMAGE", base64.b64encode(PICTURE))
    with half_request(small.port, body, "application/json", path) as connection:
        connection.sendall(body)
        wait_until(lambda: metric(small, "twinlens_queue_images") > 0)
        found = left()
        numbers = sum(type(each) is list and each == [0] * DIMENSION for each in gc.get_objects())
    engine.gate.set()
    assert found["EncodedImage"]
    assert not found["Fields"] + found["Body"] + numbers
