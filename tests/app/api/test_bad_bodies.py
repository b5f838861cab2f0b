"""JSON, base64 and multipart that cannot be read, or not within the limits."""

import asyncio
import base64
import tracemalloc

import httpx
import pytest

from app.api.fields import FieldNames, Fields
from app.api.uploads import Body
from app.inference.embedder import EncodedImage
from model_store.network import Side
from tests.app.api.problems import GOOD, problem
from tests.app.material import DIMENSION

pytestmark = pytest.mark.usefixtures("others_are_served")

_UNDECODED = "!"


def test_images_in_json_are_counted_before_they_are_decoded(client: httpx.Client) -> None:
    good = base64.b64encode(GOOD).decode()
    many = [_UNDECODED] * 16
    answer = client.post("/embed", json={"images": [*many, good]})
    problem(answer, 400, "17 images", "limit of 16")
    answer = client.post("/compare/many", json={"query": good, "candidates": many})
    problem(answer, 400, "17 images", "limit of 16")
    query = [1.0] * DIMENSION
    answer = client.post("/compare/many", json={"query": query, "candidates": [good] * 16})
    assert answer.status_code == 200, answer.text
    answer = client.post("/compare/many", json={"query": query, "candidates": [*many, good]})
    problem(answer, 400, "17 images", "limit of 16")
    answer = client.post("/compare", json={"image_a": many, "image_b": good})
    problem(answer, 400, "image_a: 16 images", "exactly one")
    answer = client.post("/compare/many", json={"query": many, "candidates": [good]})
    problem(answer, 400, "query: 16 images", "exactly one")


def test_images_in_json_are_measured_before_they_are_decoded(client: httpx.Client) -> None:
    text = _UNDECODED * 1_333_340
    problem(client.post("/embed", json={"images": text}), 413, "1,000,005", "1,000,000")
    for size in (999_998, 999_999, 1_000_000):  # Padded by one sign, none, two.
        text = base64.b64encode(bytes(size)).decode()
        problem(client.post("/embed", json={"images": text}), 415)


def test_base64_may_have_white_space_in_it(client: httpx.Client) -> None:
    good = base64.b64encode(GOOD).decode()
    spaced = " \r\n\t".join(good[start : start + 7] for start in range(0, len(good), 7))
    answers = [client.post("/embed", json={"images": text}) for text in (good, spaced)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()


def test_white_space_takes_no_memory_to_speak_of() -> None:
    text = "AA A " * 200_000
    fields = Fields(
        Body({"images": [text]}, len(text)),
        [],
        FieldNames(required=("images",), expected="images"),
        max_image_bytes=len(text),
    )
    found: list[EncodedImage] = []

    async def decode() -> None:
        # Not given back: asyncio describes what a task gives, which takes memory of its own.
        found.append(await fields.image("images", Side.LEFT))

    tracemalloc.start()
    try:
        asyncio.run(decode())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found[0].data == bytes(len(text) // 5 * 9 // 4)
    assert peak < 3 * len(text)


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"image_a": 1e400']
)
def test_what_is_no_json_object(client: httpx.Client, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    problem(client.post("/compare", content=body, headers=headers), 400)


@pytest.mark.parametrize("value", ["not base64!", 5, True, {"a": 1}, "aGk", "ä"])
def test_what_is_no_base64(client: httpx.Client, value: object) -> None:
    good = base64.b64encode(GOOD).decode()
    problem(client.post("/compare", json={"image_a": good, "image_b": value}), 400, "image_b")


def test_base64_that_could_be_read_past_what_is_wrong_with_it_is_refused(
    client: httpx.Client,
) -> None:
    good = base64.b64encode(GOOD).decode()
    for bad in (f"{good[:40]}*{good[40:]}", f"{good[:40]}-_{good[40:]}", f"{good}===="):
        problem(client.post("/embed", json={"images": bad}), 400, "images: not valid base64")


def test_other_bodies(client: httpx.Client) -> None:
    problem(client.post("/compare", data={"image_a": "x"}), 415, "urlencoded", "image_a")
    problem(client.post("/compare", content=GOOD), 415, "none given")
    headers = {"content-type": "image/png"}
    problem(client.post("/compare", content=GOOD, headers=headers), 415, "image/png")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"--x\r\n\r\n--x--"),
        ("multipart/form-data; boundary=x", b"no boundary anywhere"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--",
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="image_a"; filename="a"\r\n\r\nhalf',
        ),
        ("multipart/form-data; boundary=" + "x" * 5000, b"--x"),
    ],
)
def test_malformed_multipart(client: httpx.Client, kind: str, body: bytes) -> None:
    answer = client.post("/compare", content=body, headers={"content-type": kind})
    problem(answer, 400)


def test_a_content_type_may_be_long_but_not_without_end(client: httpx.Client) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="images"\r\n\r\n%b\r\n--x--' % GOOD
    kind = "multipart/form-data; boundary=x"
    longest = kind + ";" * (1024 - len(kind))
    answer = client.post("/embed", content=body, headers={"content-type": longest})
    assert answer.status_code == 200, answer.text
    answer = client.post("/embed", content=body, headers={"content-type": longest + ";"})
    problem(answer, 400, "Content-Type is over 1,024 characters")


def test_lines_that_end_in_bare_line_feeds_are_named(client: httpx.Client) -> None:
    kind = {"content-type": "multipart/form-data; boundary=x"}
    named = b'Content-Disposition: form-data; name="images"'
    body = b"--x\n%b\n\n%b\n--x--\n" % (named, GOOD)
    for padded in (body, body.replace(b"x\n", b"x \n", 1)):
        answer = client.post("/embed", content=padded, headers=kind)
        problem(answer, 400, "bare line feeds", "CR LF")
    answer = client.post("/embed", content=b"\n" + body, headers=kind)
    problem(answer, 400, "after CR LF", "boundary")
    # Before the first boundary there may be anything.
    behind = b"\r\n--x\r\n%b\r\n\r\n%b\r\n--x--\r\n" % (named, GOOD)
    answer = client.post("/embed", content=b"--x\n" + behind, headers=kind)
    assert answer.status_code == 200, answer.text
    cut = behind.removesuffix(b"--\r\n")
    answer = client.post("/embed", content=cut, headers=kind)
    problem(answer, 400, "ends before its closing boundary")


def test_a_part_without_a_name_is_not_taken_for_another_of_the_one_before(
    client: httpx.Client,
) -> None:
    named = b'Content-Disposition: form-data; name="images"'
    body = b"--x\r\n%b\r\n\r\n%b\r\n--x\r\n%b\r\n\r\n%b\r\n--x--\r\n"
    kind = {"content-type": "multipart/form-data; boundary=x"}
    content = body % (named, GOOD, b"Content-Type: image/png", GOOD)
    problem(client.post("/embed", content=content, headers=kind), 400, "has no name")
    both = client.post("/embed", content=body % (named, GOOD, named, GOOD), headers=kind)
    assert len(both.json()["embeddings"]) == 2


@pytest.mark.parametrize(
    "header", [b"X-Long: " + b"a" * 100_000, b"\r\n".join(b"X-%d: a" % n for n in range(1000))]
)
def test_headers_of_a_part_without_end(client: httpx.Client, header: bytes) -> None:
    name = b'Content-Disposition: form-data; name="image_a"'
    body = b"--x\r\n" + name + b"\r\n" + header + b"\r\n\r\n" + GOOD + b"\r\n--x--\r\n"
    kind = {"content-type": "multipart/form-data; boundary=x"}
    problem(client.post("/compare", content=body, headers=kind), 400, "malformed", "header")
