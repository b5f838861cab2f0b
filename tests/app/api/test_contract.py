"""The HTTP contract, over a real server."""

import base64
import gzip
import hashlib
from pathlib import Path

import httpx
import numpy as np
import orjson
import pytest
from PIL import Image

from tests.app.material import CALIBRATION, DIMENSION, encode, picture, pixels
from tests.app.serving import Running

FIELDS = {
    "model",
    "version",
    "metric",
    "score",
    "probability",
    "threshold",
    "same",
    "in_distribution",
}


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def compare(client: httpx.Client, left: bytes, right: bytes, **data: str) -> httpx.Response:
    return client.post("/compare", files={"image_a": left, "image_b": right}, data=data)


def test_compare_two_files(client: httpx.Client) -> None:
    answer = compare(client, picture(1), picture(1, "JPEG"))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    content = answer.json()
    assert set(content) == FIELDS | {"typicality_a", "typicality_b"}
    assert content["model"] == "tiny"
    assert content["version"] == 1
    assert content["metric"] == "cosine_similarity"
    assert content["score"] > 0.99
    assert content["threshold"] == CALIBRATION.threshold
    assert content["same"] is True
    assert 0.9 < content["probability"] <= 1


def test_json_and_multipart_give_the_same(client: httpx.Client) -> None:
    left, right = picture(1), picture(2)
    multipart = compare(client, left, right, model="tiny").json()
    body = {"image_a": base64_of(left), "image_b": base64_of(right), "model": "tiny"}
    assert client.post("/compare", json=body).json() == multipart
    url = "data:image/png;base64," + base64_of(left)
    assert client.post("/compare", json={**body, "image_a": url, "model": None}).json() == multipart


def test_an_uncalibrated_model_gives_no_decision(client: httpx.Client) -> None:
    content = compare(client, picture(1), picture(2), model="plain").json()
    assert content["metric"] == "euclidean_dissimilarity"
    assert content["score"] > 0
    assert content["probability"] is content["threshold"] is content["same"] is None


def test_the_order_of_a_pair_counts_only_between_two_branches(client: httpx.Client) -> None:
    for model, counts in (("tiny", False), ("ordered", False), ("sided", True)):
        one = compare(client, picture(1), picture(2), model=model).json()["score"]
        other = compare(client, picture(2), picture(1), model=model).json()["score"]
        assert (abs(one - other) > 1e-4) is counts, model


def test_an_alias_names_its_model(client: httpx.Client) -> None:
    assert compare(client, picture(1), picture(2), model="small").json()["model"] == "tiny"
    by_query = client.post(
        "/compare?model=plain", files={"image_a": picture(1), "image_b": picture(2)}
    )
    assert by_query.json()["model"] == "plain"


def test_exif_orientation_is_honoured(client: httpx.Client) -> None:
    upright = pixels(3, 64, 48)
    exif = Image.Exif()
    exif[0x0112] = 6  # "Turn by 90° clockwise to see it upright."
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    marked = encode(turned, "JPEG", exif=exif, quality=95)
    unmarked = encode(turned, "JPEG", quality=95)
    reference = encode(upright, "JPEG", quality=95)
    assert compare(client, reference, marked).json()["score"] > 0.995
    assert compare(client, reference, unmarked).json()["score"] < 0.995


def test_embed(client: httpx.Client) -> None:
    files = [("images", picture(seed)) for seed in range(3)]
    content = client.post("/embed", files=files).json()
    assert set(content) == {
        *("model", "version", "dimension", "embeddings", "typicality", "in_distribution")
    }
    assert content["typicality"] == content["in_distribution"] == [None] * 3
    assert content["dimension"] == DIMENSION
    rows = np.array(content["embeddings"], np.float32)
    assert rows.shape == (3, DIMENSION)
    one = client.post("/embed", content=picture(1), headers={"content-type": "image/png"})
    np.testing.assert_allclose(np.array(one.json()["embeddings"][0]), rows[1], rtol=1e-4, atol=1e-5)
    texts = [base64_of(picture(seed)) for seed in range(3)]
    as_json = client.post("/embed", json={"images": texts}).json()
    np.testing.assert_allclose(np.array(as_json["embeddings"]), rows, rtol=1e-4, atol=1e-5)
    single = client.post("/embed", json={"images": texts[2]}).json()
    assert len(single["embeddings"]) == 1


def test_embeddings_as_raw_floats(client: httpx.Client) -> None:
    files = [("images", picture(seed)) for seed in range(3)]
    answer = client.post("/embed", files=files, headers={"accept": "application/octet-stream"})
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-twinlens-model"] == "tiny"
    assert answer.headers["x-twinlens-version"] == "1"
    shape = (int(answer.headers["x-twinlens-count"]), int(answer.headers["x-twinlens-dimension"]))
    rows = np.frombuffer(answer.content, "<f4").reshape(shape)
    expected = np.array(client.post("/embed", files=files).json()["embeddings"])
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-5)


def test_embed_a_side(client: httpx.Client) -> None:
    rows = [
        client.post(
            "/embed", files={"images": picture(1)}, data={"model": "sided", "side": side}
        ).json()["embeddings"][0]
        for side in ("left", "right")
    ]
    assert not np.allclose(*rows)
    score = float(np.dot(*rows) / np.linalg.norm(rows[0]) / np.linalg.norm(rows[1]))
    found = compare(client, picture(1), picture(1), model="sided").json()["score"]
    assert found == pytest.approx(score, abs=1e-4)


def test_alone_or_among_others_an_image_is_judged_the_same(client: httpx.Client) -> None:
    alone = compare(client, picture(30), picture(31), model="plain").json()["score"]
    names = [("images", picture(seed)) for seed in range(30, 46)]
    rows = np.array(client.post("/embed?model=plain", files=names).json()["embeddings"])
    assert np.linalg.norm(rows[0] - rows[1]) == pytest.approx(alone, abs=5e-5)


@pytest.mark.parametrize("model", ["tiny", "plain", "ordered", "sided"])
def test_compare_many_ranks_as_single_comparisons_would(client: httpx.Client, model: str) -> None:
    seeds = [5, 6, 7, 4, 8]
    files = [("query", picture(4)), *(("candidates", picture(seed)) for seed in seeds)]
    content = client.post("/compare/many", files=files, data={"model": model}).json()
    results = content["results"]
    assert content["model"] == model
    assert sorted(result["index"] for result in results) == [0, 1, 2, 3, 4]
    scores = [result["score"] for result in results]
    assert scores == sorted(scores, reverse=content["metric"] != "euclidean_dissimilarity")
    if model in ("tiny", "plain"):
        assert results[0]["index"] == 3
    for result in results:
        assert set(result) == FIELDS | {"index", "typicality"}
        one = compare(client, picture(4), picture(seeds[result["index"]]), model=model).json()
        assert result.pop("index") in range(5)
        assert result.pop("typicality") is one.pop("typicality_a") is one.pop("typicality_b")
        for key in ("score", "probability"):
            assert result.pop(key) == pytest.approx(one.pop(key), abs=1e-4)
        assert result == one


def test_compare_many_takes_embeddings_in_every_form(client: httpx.Client) -> None:
    files = [("images", picture(seed)) for seed in range(5)]
    rows = client.post("/embed", files=files).json()["embeddings"]
    raw = np.array(rows, "<f4").tobytes()
    query = picture(2)
    answers = [
        client.post("/compare/many", json={"query": base64_of(query), "candidates": rows}),
        client.post("/compare/many", json={"query": rows[2], "candidates": rows}),
        client.post("/compare/many", files=[("query", query), ("embeddings", raw)]),
        client.post(
            "/compare/many",
            json={
                "query": base64_of(query),
                "candidates": [base64_of(picture(seed)) for seed in range(5)],
            },
        ),
    ]
    rankings = []
    for answer in answers:
        assert answer.status_code == 200, answer.text
        results = answer.json()["results"]
        rankings.append([result["index"] for result in results])
        assert results[0]["score"] == pytest.approx(1, abs=1e-4)
    assert rankings[0][0] == 2
    assert all(ranking == rankings[0] for ranking in rankings)


def test_compare_many_with_ten_thousand_candidates(client: httpx.Client) -> None:
    rows = np.random.default_rng(0).normal(size=(10_000, DIMENSION)).astype(np.float32)
    body = orjson.dumps(
        {"query": rows[77], "candidates": rows.round(3)}, option=orjson.OPT_SERIALIZE_NUMPY
    )
    answer = client.post(
        "/compare/many", content=body, headers={"content-type": "application/json"}
    )
    results = answer.json()["results"]
    assert len(results) == 10_000
    assert results[0]["index"] == 77
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    expected = unit @ unit[77]
    scores = {result["index"]: result["score"] for result in results}
    np.testing.assert_allclose([scores[n] for n in range(10_000)], expected, atol=2e-3)


def test_models(client: httpx.Client, store: Path) -> None:
    content = client.get("/models").json()
    assert content["default"] == "tiny"
    assert [model["name"] for model in content["models"]] == ["ordered", "plain", "sided", "tiny"]
    [failed] = content["failed"]
    assert failed["name"] == "broken"
    assert "weights.safetensors" in failed["error"]
    tiny = client.get("/models/small").json()
    assert tiny == content["models"][3]
    assert tiny["default"] is True
    assert tiny["aliases"] == ["small"]
    assert tiny["input"] == {"height": 32, "width": 32, "mode": "RGB", "resize": "stretch"}
    assert tiny["dimension"] == DIMENSION
    weights = (store / "tiny" / "1" / "weights.safetensors").read_bytes()
    assert tiny["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert tiny["calibration"]["target_far"] == CALIBRATION.target_far
    assert tiny["engine"] == {
        "name": "torch",
        "device": "cpu",
        "precision": "float32",
        "reason": "set by ENGINE",
    }
    assert client.get("/models/plain").json()["calibration"] is None
    assert client.get("/models/ordered").json()["symmetric"] is False


def test_metrics_count_what_happened(server: Running) -> None:
    client = server.client
    before = metrics(client)
    compare(client, picture(90), picture(91))
    compare(client, picture(90), picture(91))
    client.post("/embed", content=b"", headers={"content-type": "image/png"})
    client.get("/nothing/of/this/name")
    client.get("/compare")
    after = metrics(client)
    for name, more in (
        ('twinlens_requests_total{method="POST",route="/compare",status="200"}', 2),
        ('twinlens_requests_total{method="ANY",route="other",status="404"}', 1),
        ('twinlens_stage_seconds_count{stage="read"}', 3),
        ('twinlens_stage_seconds_count{stage="decode"}', 2),
        ('twinlens_stage_seconds_count{stage="queue"}', 2),
        ('twinlens_stage_seconds_count{stage="score"}', 2),
        ('twinlens_batch_images_sum{model="tiny"}', 2),
        ('twinlens_rejections_total{reason="malformed-request"}', 1),
        ('twinlens_rejections_total{reason="not-found"}', 1),
        ('twinlens_rejections_total{reason="method-not-allowed"}', 1),
        ('twinlens_cache_lookups_total{result="miss"}', 2),
        ('twinlens_cache_lookups_total{result="hit"}', 2),
    ):
        assert after[name] - before.get(name, 0) == more, name
    counted = (
        'twinlens_batch_images_count{model="tiny"}',
        'twinlens_stage_seconds_count{stage="device"}',
    )
    batches, calls = (after[name] - before.get(name, 0) for name in counted)
    assert batches == calls
    assert batches in (1, 2), "alone or together"
    # Once, and again for each test of this server that asked for a look.
    assert after['twinlens_model_loads_total{model="broken",result="refused"}'] >= 1
    assert after['twinlens_versions_refused{model="broken"}'] == 1
    assert after['twinlens_versions_refused{model="tiny"}'] == 0
    assert after['twinlens_model_version{model="tiny"}'] == 1
    assert after["twinlens_queue_images"] == after["twinlens_device_queue_images"] == 0
    assert after["twinlens_ready"] == 1
    assert after["process_resident_memory_bytes"] > 0
    assert not any("nothing/of/this" in name for name in after)


def metrics(client: httpx.Client) -> dict[str, float]:
    """What is exposed now: each series, as it is written there, and its value."""
    lines = client.get("/metrics").text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_request_ids(client: httpx.Client) -> None:
    given = client.get("/livez", headers={"x-request-id": "abc-123"})
    assert given.headers["x-request-id"] == "abc-123"
    for unfit in ("has space", "x" * 129, 'quote"'):
        made = client.get("/livez", headers={"x-request-id": unfit}).headers["x-request-id"]
        assert made != unfit
        assert len(made) == 16
    error = client.get("/models/absent", headers={"x-request-id": "e-1"})
    assert error.json()["request_id"] == error.headers["x-request-id"] == "e-1"


@pytest.mark.parametrize(
    ("accept", "binary"),
    [
        ("application/octet-stream", True),
        ("application/json;q=0.5, Application/Octet-Stream", True),
        ("application/octet-stream, application/json", True),
        ("application/json, application/octet-stream;q=0.1", False),
        ("application/octet-stream;q=0", False),
        ("application/octet-stream;q=x", False),
        ("application/*, */*", False),
        ("application/json,application/octet-stream,application/problem+json", False),
        ("application/octet-stream;q=0.5,*/*", False),
        ("application/octet-stream;q=0.5, application/*;q=0.9", False),
        ("application/octet-stream, */*", True),
        ("*/*, application/octet-stream", False),
        ("application/octet-stream, application/*;q=0.9, */*;q=0.8", True),
        ("application/octet-stream;q=0.5, application/json;q=0, */*", True),
        ("application/octet-stream;q=nan", False),
        ("", False),
    ],
)
def test_embeddings_are_raw_where_that_is_what_is_rather_wanted(
    client: httpx.Client, accept: str, binary: bool
) -> None:
    answer = client.post("/embed", files={"images": picture(1)}, headers={"accept": accept})
    kind = "application/octet-stream" if binary else "application/json"
    assert answer.headers["content-type"] == kind


def test_what_is_wanted_may_stand_in_several_headers(client: httpx.Client) -> None:
    lines = [("accept", "application/json;q=0.5"), ("accept", "application/octet-stream")]
    answer = client.post("/embed", files={"images": picture(1)}, headers=lines)
    assert answer.headers["content-type"] == "application/octet-stream"


def test_a_compressed_body_is_refused_by_its_encoding(client: httpx.Client) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = client.post("/compare", content=gzip.compress(b"{}"), headers=headers)
    assert answer.status_code == 415
    assert "'gzip'" in answer.json()["detail"]
    plain = {"content-type": "image/png", "content-encoding": "identity"}
    assert client.post("/embed", content=picture(1), headers=plain).status_code == 200


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_from_elsewhere(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    html = answer.text
    assert "http://" not in html
    assert "https://" not in html
    assert "<script>" not in html
    assert "style=" not in html
    links = [part.split('"')[0] for key in ("src=", "href=") for part in html.split(f'{key}"')[1:]]
    for link in links:
        assert client.get("/" + link.removeprefix("./")).status_code == 200, link
