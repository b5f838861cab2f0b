"""Bodies in pieces: whatever the pieces are, what is read is what was sent."""

import asyncio
import base64
import gc
import itertools
import socket
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from app.api.fields import FieldNames, Fields
from app.api.form import Form
from app.api.limits import Limits
from app.api.multipart import MultipartReader
from app.api.problem import BadRequest
from app.api.sink import Sink, sink_of
from app.api.uploads import Body, read_body
from app.inference.admission import Admission
from app.inference.embedder import EncodedImage
from model_store.network import Side
from tests.app.material import DIMENSION, picture
from tests.app.serving import LIVE, Running, in_thread

LIMITS = Limits(body_bytes=1 << 30, part_bytes=1 << 20, parts=4, whole=frozenset({"embeddings"}))


def multipart(**parts: bytes) -> bytes:
    body = b""
    for name, content in parts.items():
        body += (
            b'--edge\r\nContent-Disposition: form-data; name="%b"; filename="x"\r\n\r\n%b\r\n'
            % (
                name.encode(),
                content,
            )
        )
    return body + b"--edge--\r\n"


def read(body: bytes, cuts: list[int], declared: int) -> dict[str, list[bytes]]:
    form = Form(LIMITS, declared)
    reader = MultipartReader(b"edge", form)
    edges = [0, *sorted(cut % len(body) for cut in cuts), len(body)]
    for start, end in itertools.pairwise(edges):
        reader.feed(body[start:end])
    assert reader.ended
    return {name: [bytes(value) for value in values] for name, values in form.fields.items()}


@given(st.binary(max_size=500), st.lists(st.integers(0), max_size=20), st.booleans())
def test_the_pieces_of_a_body_make_no_difference(
    content: bytes, cuts: list[int], known: bool
) -> None:
    body = multipart(query=content, embeddings=content)
    found = read(body, cuts, len(body) if known else 0)
    assert found == {"query": [content], "embeddings": [content]}


@pytest.mark.parametrize("known", [True, False], ids=["length known", "length unknown"])
def test_what_is_taken_whole_may_be_many_times_what_there_was_room_for(known: bool) -> None:
    content = np.random.default_rng(0).bytes(9_000_000)
    body = multipart(embeddings=content)
    cuts = [*range(0, len(body), 100_000)]
    assert read(body, cuts, len(body) if known else 0) == {"embeddings": [content]}


def test_a_length_that_is_declared_and_not_sent_takes_no_room() -> None:
    form = Form(LIMITS, declared=1 << 40)
    MultipartReader(b"edge", form).feed(multipart(embeddings=bytes(100_000)))
    (found,) = form.fields["embeddings"]
    assert isinstance(found, np.ndarray)
    assert found.base.nbytes < 1_000_000


def test_a_sink_takes_pieces_until_one_fails_and_the_reader_learns_why() -> None:
    taken: list[bytes] = []

    def write(piece: bytes) -> None:
        if piece == b"bad":
            raise ValueError("bad piece")
        taken.append(piece)

    sink = Sink(write)
    scope: dict[str, object] = {}
    with sink.open(scope):
        assert sink_of(scope) is sink
        assert sink.offer(b"one")
        sink.check()
        assert not sink.offer(b"bad")
        assert not sink.offer(b"two")
        with pytest.raises(ValueError, match="bad piece"):
            sink.check()
    assert sink_of(scope) is None
    assert taken == [b"one"]


def read_pieces(pieces: list[bytes], kind: str) -> Body:
    """What is read of a body that comes in these pieces."""
    left = iter(pieces)
    ended = {"type": "http.request", "body": b"", "more_body": False}

    async def receive() -> dict[str, object]:
        piece = next(left, None)
        return ended if piece is None else {"type": "http.request", "body": piece, "more_body": 1}

    scope = {"type": "http", "headers": [(b"content-type", kind.encode())]}
    admission = Admission(1, LIMITS.body_bytes)
    found: list[Body] = []

    async def read() -> None:
        request, reservation = Request(scope, receive), admission.reserve()
        # Not given back: asyncio describes what a task gives, which takes memory of its own.
        found.append(await read_body(request, LIMITS, reservation, expected="", raw_field="image"))

    asyncio.run(read())
    assert admission.held_bytes == found[0].size == sum(map(len, pieces))
    return found[0]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=edge", multipart(query=bytes(50_000))),
        ("image/png", bytes(50_000)),
    ],
    ids=["multipart", "raw"],
)
def test_a_body_that_comes_byte_by_byte_takes_a_few_times_its_size_and_no_more(
    kind: str, body: bytes
) -> None:
    pieces = [body[n : n + 1] for n in range(len(body))]
    read_pieces([body], kind)
    tracemalloc.start()
    try:
        read_pieces(pieces, kind)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(body)


def test_small_and_large_pieces_stay_in_order_and_large_ones_are_not_copied() -> None:
    random = np.random.default_rng(2)
    sizes = random.choice([1, 100, 5_000, 20_000, 70_000], 60)
    pieces = [random.bytes(size) for size in sizes]
    assert read_pieces(pieces, "image/png").fields == {"image": [b"".join(pieces)]}
    large = random.bytes(1_000_000)
    assert read_pieces([large], "image/png").fields["image"][0] is large


_EDGE = "multipart/form-data; boundary=edge"


def test_a_file_may_hold_what_looks_like_the_boundary_by_accident_and_not_without_end() -> None:
    by_accident = b"\r\n--edges and others" * 900
    for cut in range(16_000, 20_000, 500):
        body = multipart(image=by_accident)
        assert read_pieces([body[:cut], body[cut:]], _EDGE).fields == {"image": [by_accident]}
    with pytest.raises(BadRequest, match="1,004 lines that begin with its boundary"):
        read_pieces([multipart(a=by_accident, b=by_accident)], _EDGE)


@pytest.mark.parametrize("blank", [b" ", b"\t"])
def test_white_space_behind_a_boundary_is_bounded(blank: bytes) -> None:
    def padded(many: int) -> bytes:
        behind = multipart(b=b"2").replace(b"edge", b"edge" + blank * many, 1)
        return multipart(a=b"1").removesuffix(b"--edge--\r\n") + behind

    assert read_pieces([padded(99)], _EDGE).fields == {"a": [b"1"], "b": [b"2"]}
    body = padded(100_000)
    start = body.index(blank * 9)
    for cut in (0, start - 20_000, start - 3, start, start + 1, start + 50):
        pieces = [body[:cut], body[cut:]] if cut > 0 else [body]
        with pytest.raises(BadRequest, match="100 blanks or more"):
            read_pieces(pieces, _EDGE)


def test_json_of_nearly_a_million_values_is_read_and_lists_in_lists_hardly_slow_it_down() -> None:
    nested = b"[" * 1000 + b"]" * 1000
    body = b'{"images":[' + b",".join([nested] * 998) + b"]}"
    passes: list[str] = []

    def count(phase: str, _: object) -> None:
        passes.append(phase)

    gc.callbacks.append(count)
    try:
        found = read_pieces([body], "application/json")
    finally:
        gc.callbacks.remove(count)
    assert len(found.fields["images"]) == 998
    assert gc.isenabled()
    # Of the garbage collector: one for each 700 lists would be 1,400.
    assert passes.count("start") < 10


def test_large_images_in_json_are_decoded_beside_the_event_loop() -> None:
    images = [bytes([place]) * 3_000_000 for place in range(3)]
    texts: list[object] = [base64.b64encode(image).decode() for image in images]
    fields = Fields(
        Body({"images": texts}, 12_000_000),
        [],
        FieldNames(required=("images",), expected="images"),
        max_image_bytes=3_000_000,
    )

    async def decode() -> tuple[list[EncodedImage], int]:
        task = asyncio.create_task(fields.images("images", Side.LEFT))
        turns = 0
        while not task.done():
            await asyncio.sleep(0)
            turns += 1
        return await task, turns

    found, turns = asyncio.run(decode())
    assert [image.data for image in found] == images
    assert turns > 2 * len(images)


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[Running]:
    with in_thread(store, store_poll_seconds=0) as running:
        yield running


@pytest.mark.parametrize("size", [1_000, 70_000, 6_000_000])
def test_a_body_that_comes_bit_by_bit_is_read_as_one_that_comes_at_once(
    server: Running, size: int
) -> None:
    rows = np.random.default_rng(1).standard_normal((600, DIMENSION), dtype=np.float32)
    repeated = np.tile(rows, (max(1, size // rows.nbytes), 1))
    body = multipart(query=picture(0), embeddings=repeated.astype("<f4").tobytes())
    headers = {"content-type": "multipart/form-data; boundary=edge"}
    url = f"http://127.0.0.1:{server.port}/compare/many"

    def pieces() -> Iterator[bytes]:
        step = max(1, len(body) // 50)
        for start in range(0, len(body), step):
            yield body[start : start + step]

    whole = httpx.post(url, content=body, headers=headers, timeout=60)
    in_chunks = httpx.post(url, content=pieces(), headers=headers, timeout=60)
    assert whole.status_code == in_chunks.status_code == 200, whole.text[:500]
    assert whole.json() == in_chunks.json()
    assert len(whole.json()["results"]) == len(repeated)


def test_two_requests_in_one_go_each_get_their_own_answer(server: Running) -> None:
    """The second one's body is there before anybody reads it."""
    requests = b""
    for vectors in (3, 5):
        body = multipart(query=picture(1), embeddings=bytes(4 * DIMENSION * vectors))
        requests += (
            b"POST /compare/many HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
            b"Content-Type: multipart/form-data; boundary=edge\r\n\r\n%b" % (len(body), body)
        )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(requests)
        received = b""
        while received.count(b'"index"') < 8:
            piece = connection.recv(65_536)
            assert piece, received
            received += piece
    first, second = received.split(b"HTTP/1.1 200 OK")[1:]
    assert first.count(b'"index"') == 3
    assert second.count(b'"index"') == 5


@pytest.mark.parametrize(
    ("codings", "status"),
    [
        (["gzip, chunked"], 415),
        (["gzip", "chunked"], 415),
        (["chunked"], 200),
        ([", Chunked "], 200),
    ],
)
def test_of_transfer_codings_only_chunks_are_read(
    server: Running, codings: list[str], status: int
) -> None:
    lines = "".join(f"Transfer-Encoding: {coding}\r\n" for coding in codings)
    head = f"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n{lines}\r\n"
    image = picture(1)
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(image), image)
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(head.encode() + body + LIVE)
        answers = b""
        while answers.count(b"HTTP/1.1 ") < 2 and (piece := connection.recv(65536)):
            answers += piece
    assert answers.startswith(b"HTTP/1.1 %d" % status)
    assert (b"Transfer-Encoding 'gzip, chunked' is not read here" in answers) is (status == 415)
    # Where the body ends is known all the same, and what comes behind it is answered.
    assert answers.rpartition(b"HTTP/1.1 ")[2].startswith(b"200")
    assert answers.count(b"HTTP/1.1 ") == 2
