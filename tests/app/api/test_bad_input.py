"""What strangers send: each gets its status and a detail that helps, and nothing else suffers."""

import base64
import struct
import tracemalloc
import zlib

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette import datastructures

from app.api.fields import embeddings_from_json
from app.api.problem import BadRequest
from tests.app.api.problems import GOOD, pair, problem
from tests.app.material import DIMENSION, encode, pixels
from tests.app.serving import Running

pytestmark = pytest.mark.usefixtures("others_are_served")


def huge_png(width: int, height: int) -> bytes:
    """A PNG whose header declares so many pixels and that has next to no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("path", ["/compare", "/compare/many", "/embed"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/json"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "image/png"},
    ],
)
def test_an_empty_body(client: httpx.Client, path: str, headers: dict[str, str]) -> None:
    field = {"/compare": "image_a", "/compare/many": "query", "/embed": "images"}[path]
    problem(client.post(path, headers=headers), 400, "empty", field)


def test_one_image_missing(client: httpx.Client) -> None:
    answer = client.post("/compare", files={"image_a": GOOD})
    problem(answer, 400, "missing: image_b", "'image_a'")


def test_wrong_field_names(client: httpx.Client) -> None:
    answer = client.post("/compare", files={"img1": GOOD, "img2": GOOD})
    problem(answer, 400, "image_a, image_b", "'img1', 'img2'")
    answer = client.post("/compare", files={"image_a": GOOD, "image_b": GOOD, "extra": GOOD})
    problem(answer, 400, "unknown: 'extra'")
    problem(client.post("/embed", files={"image": GOOD}), 400, "missing: images")
    problem(client.post("/compare/many", json={"query": "x"}), 400, "candidates")


@pytest.mark.parametrize(
    "data",
    [b"hello, this is text", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"\0"],
)
def test_what_is_no_image(client: httpx.Client, data: bytes) -> None:
    problem(pair(client, data), 415, "image_b", "JPEG, PNG")


@pytest.mark.parametrize(
    "name", ["two.jpg", "my photos/two.PNG", "/home/me/two.webp", "~/a-b.tiff"]
)
def test_the_name_of_a_file_in_place_of_its_content(client: httpx.Client, name: str) -> None:
    body = {"image_b": (None, name.encode())}
    answer = client.post("/compare", files={"image_a": GOOD, **body})
    problem(answer, 415, "image_b", f"@{name}")


def test_one_long_embedding_and_many_empty_ones_take_no_memory(client: httpx.Client) -> None:
    # As many rows as wide as the first would be 29 GB.
    candidates = [[0.5] * 80_000, *([[]] * 90_000)]
    answer = client.post(
        "/compare/many", json={"query": [0.5] * DIMENSION, "candidates": candidates}
    )
    problem(answer, 400, "candidates[1]")


def test_a_long_text_among_the_numbers_of_an_embedding_takes_no_memory() -> None:
    # As texts of that length, the numbers would be 400 MB.
    tracemalloc.start()
    try:
        for text in ("x" * 100_000, [0.5] * 100_000):
            with pytest.raises(BadRequest, match=r"query\[0\]: .* numbers only"):
                embeddings_from_json("query", [[0.5, text, *[0] * 1000]])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_numbers_of_any_kind_are_an_embedding() -> None:
    rows = embeddings_from_json("query", [[0.1, -2, 2**64 - 1, 1e39, True]])
    assert rows.dtype == np.float32
    assert rows.tolist() == [[np.float32(0.1), -2, 2.0**64, np.inf, 1]]


def test_an_empty_file(client: httpx.Client) -> None:
    problem(pair(client, b""), 400, "image_b", "empty")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_an_image_cut_short(client: httpx.Client, kind: str) -> None:
    whole = encode(pixels(1, 300, 200), kind)
    problem(pair(client, whole[: len(whole) // 2]), 422, "image_b", "cut short")


@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (65_535, 2_000)])
def test_too_many_declared_pixels(client: httpx.Client, width: int, height: int) -> None:
    problem(pair(client, huge_png(width, height)), 422, "image_b", "limit")


ODD = {
    "1x1": encode(pixels(1, 1, 1)),
    "1x1 grey JPEG": encode(pixels(1, 1, 1).convert("L"), "JPEG"),
    "very wide": encode(pixels(1, 3000, 1)),
    "16-bit grey PNG": encode(Image.fromarray(np.full((9, 9), 40_000, np.uint16))),
    "palette with transparency": encode(
        pixels(1).quantize(16), "PNG", transparency=bytes(range(0, 160, 10))
    ),
    "grey with alpha": encode(pixels(1).convert("LA")),
    "colour with alpha": encode(pixels(1).convert("RGBA")),
    "one bit": encode(pixels(1).convert("1")),
    "CMYK JPEG": encode(pixels(1).convert("CMYK"), "JPEG"),
    "progressive JPEG": encode(pixels(1), "JPEG", progressive=True),
    "animated GIF": encode(
        pixels(1), "GIF", save_all=True, append_images=[pixels(2), pixels(3)], duration=100
    ),
    "TIFF": encode(pixels(1), "TIFF"),
    "BMP": encode(pixels(1), "BMP"),
    "WebP": encode(pixels(1), "WEBP"),
    "PGM": encode(pixels(1).convert("L"), "PPM"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_images_are_images(client: httpx.Client, name: str) -> None:
    answer = pair(client, ODD[name])
    assert answer.status_code == 200, answer.text


def test_transparency_and_frames_change_nothing_that_is_seen(client: httpx.Client) -> None:
    for name in ("animated GIF", "TIFF", "BMP", "colour with alpha"):
        assert pair(client, ODD[name]).json()["score"] > 0.98, name


@pytest.mark.parametrize("model", ["absent", "no such/model", "x" * 150])
def test_an_unknown_model(client: httpx.Client, model: str) -> None:
    problem(pair(client, GOOD, model=model), 404, "tiny")


def test_a_model_name_that_is_none(client: httpx.Client) -> None:
    problem(pair(client, GOOD, model="x" * 5000), 413, "model")
    body = {"image_a": "aGk=", "image_b": "aGk=", "model": 5}
    problem(client.post("/compare", json=body), 400, "model", "text")
    problem(client.get("/models/absent"), 404, "tiny")
    problem(pair(client, GOOD, model="x" * 201), 400, "model", "200 characters")


def test_white_space_around_a_models_name_is_none_of_it(client: httpx.Client) -> None:
    """As `-F model=@file` brings it along, or a form that was left empty."""
    assert pair(client, GOOD, model=" plain\n").json()["model"] == "plain"
    assert pair(client, GOOD, model=" ").json()["model"] == "tiny"


def test_a_model_that_is_there_but_damaged_says_why(client: httpx.Client) -> None:
    problem(pair(client, GOOD, model="broken"), 404, "weights.safetensors")


def test_too_many_images_and_too_large_ones(client: httpx.Client) -> None:
    files = [("images", GOOD)] * 17
    problem(client.post("/embed", files=files), 400, "17", "limit of 16")
    problem(client.post("/embed", files=[("images", GOOD)] * 30), 400, "parts")
    problem(pair(client, bytes(1_000_001)), 413, "image_b", "1,000,000")
    text = base64.b64encode(bytes(1_000_001)).decode()
    problem(client.post("/embed", json={"images": text}), 413, "1,000,000")


def test_an_image_may_have_as_many_bytes_as_the_limit_and_so_may_the_next(
    client: httpx.Client,
) -> None:
    largest = GOOD + bytes(1_000_000 - len(GOOD))
    assert pair(client, largest).status_code == 200
    text = base64.b64encode(largest).decode()
    assert client.post("/embed", json={"images": text}).status_code == 200
    halves = [("images", GOOD + bytes(600_000))] * 3
    assert client.post("/embed", files=halves).status_code == 200


def test_one_of_two_images_is_named_by_its_place(client: httpx.Client) -> None:
    answer = client.post("/embed", files=[("images", GOOD), ("images", b"")])
    problem(answer, 400, "images[1]: the image is empty")


def test_several_images_where_one_belongs(client: httpx.Client) -> None:
    files = [("image_a", GOOD), ("image_a", GOOD), ("image_b", GOOD)]
    problem(client.post("/compare", files=files), 400, "image_a", "exactly one")


"""Base64 that is none: who complains of anything else has not decoded it."""


_ROW = [1.0] * DIMENSION


@pytest.mark.parametrize(
    ("candidates", "told"),
    [
        ([], "one of the two fields"),
        ([_ROW[1:]], "embed with the model that compares"),
        ([_ROW, [1.0]], "candidates[1]: every embedding"),
        ([_ROW, "aGk="], "do not mix"),
        (["aGk=", _ROW], "do not mix"),
        (_ROW, "even if it is one: [[…]]"),
        ([_ROW, 1.0], "even if it is one: [[…]]"),
        ([["1.0"] * DIMENSION], "candidates[0]: an embedding must hold numbers only"),
        ([[None] * DIMENSION], "candidates[0]: an embedding must hold numbers only"),
        ([[True] * DIMENSION], "candidates[0]: an embedding must hold numbers only"),
        ([[_ROW]], "candidates[0]: a list of lists stands where one embedding should"),
        ([_ROW, _ROW, [1e39] * DIMENSION], "candidates[2]: an embedding must hold finite numbers"),
        ([[]], "candidates[0]: every embedding"),
        ([{}], "candidates: must be an image as base64"),
        (5, "even if it is one: [[…]]"),
    ],
)
def test_candidates_that_are_none(client: httpx.Client, candidates: object, told: str) -> None:
    body = {"query": _ROW, "candidates": candidates}
    problem(client.post("/compare/many", json=body), 400, told)


@pytest.mark.parametrize("model", ["tiny", "plain", "ordered"])
@pytest.mark.parametrize("value", [1e20, -1e20, 3e38])
def test_embeddings_that_are_too_large_are_refused_and_not_counted(
    client: httpx.Client, model: str, value: float
) -> None:
    def scored() -> list[str]:
        lines = client.get("/metrics").text.splitlines()
        return [line for line in lines if line.startswith("twinlens_score_")]

    before = scored()
    large, small = [value] * DIMENSION, [1.0] * DIMENSION
    for query, candidate, name in ((large, large, "query"), (small, large, "candidates[1]")):
        body = {"model": model, "query": query, "candidates": [small, candidate]}
        answer = client.post("/compare/many", json=body)
        problem(answer, 400, f"{name}: values too large")
    assert scored() == before


def test_queries_that_are_none(client: httpx.Client) -> None:
    rows = [[1.0] * DIMENSION]
    numbers = "query: an embedding must hold numbers only"
    for query, told in (
        ([1.0] * 3, "those sent have 3"),
        ([1.0, "x"], numbers),
        ([1.0, [1.0]], numbers),
        # As /embed gives it: one bracket too many.
        (rows, "query: a list of lists stands where one embedding should"),
        (True, numbers),
        ({}, numbers),
        (7, "those sent have 1;"),
    ):
        answer = client.post("/compare/many", json={"query": query, "candidates": rows})
        problem(answer, 400, told)


def test_raw_candidates_that_do_not_fit(client: httpx.Client) -> None:
    for raw in (b"", bytes(4 * DIMENSION - 1), np.full(DIMENSION, np.nan, "<f4").tobytes()):
        answer = client.post("/compare/many", files=[("query", GOOD), ("embeddings", raw)])
        problem(answer, 400, "embeddings")
    wrong = np.ones((3, DIMENSION), "<f4")
    wrong[2, 0] = np.nan
    files = [("query", GOOD), ("embeddings", wrong.tobytes())]
    answer = client.post("/compare/many", files=files)
    problem(answer, 400, "embeddings[2]: an embedding must hold finite numbers")
    both = [("query", GOOD), ("embeddings", bytes(64)), ("candidates", GOOD)]
    problem(client.post("/compare/many", files=both), 400, "one of the two")
    twice = [("query", GOOD), ("embeddings", bytes(64)), ("embeddings", bytes(64))]
    problem(client.post("/compare/many", files=twice), 400, "one part")


def test_sides_that_are_none(client: httpx.Client) -> None:
    answer = client.post("/embed", files={"images": GOOD}, data={"side": "top"})
    problem(answer, 400, "left", "right")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("modle=plain", ("'modle'", "reads model")),
        ("model=plain&side=left", ("'side'",)),
        ("image_a=x", ("'image_a'",)),
        ("modle", ("'modle'",)),
        ("model=plain&model=tiny&model=", ("model: given 2 different values",)),
        ("model=tiny" + "&" * 64, ("more than 64 parameters",)),
        ("&".join(f"{name}{'x' * 80}=1" for name in "abcdefgh"), ("'axxx", "'exxx")),
    ],
)
def test_query_parameters_that_are_none(
    client: httpx.Client, query: str, words: tuple[str, ...]
) -> None:
    answer = client.post(f"/compare?{query}", files={"image_a": GOOD, "image_b": GOOD})
    said = problem(answer, 400, *words)
    assert len(str(said["detail"])) < 500
    answer = client.post(f"/compare/many?{query}", files={"query": GOOD, "candidates": GOOD})
    problem(answer, 400, *words)


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/metrics", "/models", "/docs", "/", "/nothing"]
)
def test_too_many_query_parameters_are_not_parsed_by_any_route(
    client: httpx.Client, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    real = datastructures.parse_qsl

    def parse(query: str, *, keep_blank_values: bool) -> list[tuple[str, str]]:
        parsed.append(query)
        return real(query, keep_blank_values=keep_blank_values)

    monkeypatch.setattr(datastructures, "parse_qsl", parse)
    problem(client.get(f"{path}?{'&' * 64}"), 400, "more than 64 parameters")
    assert not parsed
    assert client.get(f"{path}?{'&' * 63}").status_code == (404 if path == "/nothing" else 200)


def test_query_parameters_that_embedding_reads(client: httpx.Client) -> None:
    image = {"content": GOOD, "headers": {"content-type": "image/png"}}
    problem(client.post("/embed?sied=left", **image), 400, "'sied'", "model, side")
    problem(client.post("/embed?side=left&side=right", **image), 400, "side: given 2 different")
    longest = "&" * 62
    assert client.post(f"/embed?model=&side=right{longest}", **image).json()["model"] == "tiny"


def test_a_parameter_beside_a_field_of_its_name(client: httpx.Client) -> None:
    files = {"image_a": GOOD, "image_b": GOOD}
    answer = client.post("/compare?model=plain", files=files, data={"model": "tiny"})
    problem(answer, 400, "model: given 2 different", "body or the query string")
    for query, field in (("plain", "plain"), ("plain", " plain\n"), ("plain", ""), ("", "plain")):
        answer = client.post(f"/compare?model={query}", files=files, data={"model": field})
        assert answer.json()["model"] == "plain", answer.text
    text = base64.b64encode(GOOD).decode()
    for left, right in (("left", "left"), ("", "left"), ("left", "")):
        answer = client.post(f"/embed?side={left}", json={"images": text, "side": right})
        assert answer.status_code == 200, answer.text
    answer = client.post("/embed?side=left", json={"images": text, "side": "right"})
    problem(answer, 400, "side: given 2 different")


def test_paths_and_methods(client: httpx.Client) -> None:
    problem(client.get("/nothing"), 404, "/docs")
    problem(client.get("/docs/absent.js"), 404)
    problem(client.get("/static/absent.js"), 404)
    answer = client.get("/compare")
    problem(answer, 405, "POST")
    assert answer.headers["allow"] == "POST"
    for path in ("/compare/", "/models/", "/static"):
        problem(client.get(path, follow_redirects=False), 404, "/docs")
        problem(client.post(path, content=GOOD, follow_redirects=False), 404, "/docs")
    assert client.get("/static/../../settings.py").status_code == 404


@pytest.mark.parametrize("value", ["soon", "-1", "0", "nan", "²"])
def test_a_timeout_that_is_none(client: httpx.Client, value: str) -> None:
    answer = client.post(
        "/compare",
        files={"image_a": GOOD, "image_b": GOOD},
        headers={b"x-request-timeout": value.encode("latin-1")},
    )
    problem(answer, 400, "X-Request-Timeout")


def test_nothing_is_logged_of_what_was_sent(server: Running, caplog) -> None:
    caplog.set_level("INFO")
    pair(server.client, b"secret text in place of an image")
    [line] = [record for record in caplog.records if record.name == "twinlens.request"]
    assert line.twinlens["status"] == 415
    assert line.twinlens["problem"] == "unsupported-image-type"
    assert "secret" not in str(line.twinlens)
