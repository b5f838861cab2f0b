"""Images of the wrong kind, through a real server with the models that ship."""

import base64
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from model_store import ModelStore
from model_store.imports import import_model
from model_store.shipped import SHIPPED
from tests.app.serving import in_thread

COUNT = 12


def pictures(archive: Path, marker: str, count: int = COUNT) -> list[bytes]:
    """Some of an archive's pictures, evenly spread."""
    with zipfile.ZipFile(archive) as opened:
        names = sorted(
            name
            for name in opened.namelist()
            if marker in name and name.lower().endswith((".jpg", ".png", ".pgm"))
        )
        chosen = np.linspace(0, len(names) - 1, count).astype(int)
        return [opened.read(names[index]) for index in chosen]


@pytest.fixture(scope="module")
def drawings(data: Path) -> list[bytes]:
    return pictures(data / "omniglot" / "images_validation.zip", "/Keble/")


@pytest.fixture(scope="module")
def photos(data: Path) -> list[bytes]:
    return pictures(data / "grocery_store" / "grocery_store.zip", "/val/")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("shipped")
    shutil.copytree(SHIPPED / "glyphs", root / "glyphs")
    store = ModelStore(root)
    import_model("photos", store)
    store.set_default("photos")
    with in_thread(store.root, max_batch=2, cache_bytes=10_000_000) as running:
        yield running.client


def embed(client: httpx.Client, images: list[bytes], model: str) -> dict:
    files = [("images", image) for image in images]
    answer = client.post("/embed", files=files, data={"model": model})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_each_model_knows_its_own_kind_and_not_the_others(shipped, drawings, photos) -> None:
    for model, own, other in (("glyphs", drawings, photos), ("photos", photos, drawings)):
        level = shipped.get(f"/models/{model}").json()["typicality"]["level"]
        known, unknown = embed(shipped, own, model), embed(shipped, other, model)
        assert sum(known["in_distribution"]) >= COUNT - 2, (model, known["typicality"])
        assert sum(unknown["in_distribution"]) <= 2, (model, unknown["typicality"])
        for answer in (known, unknown):
            expected = [value >= level for value in answer["typicality"]]
            assert answer["in_distribution"] == expected
            assert all(0 < value <= 1 for value in answer["typicality"])


def test_a_comparison_warns_if_either_image_is_of_another_kind(shipped, drawings, photos) -> None:
    values = embed(shipped, [photos[0], drawings[0]], "photos")["typicality"]
    for left, right in (
        (photos[0], photos[1]),
        (photos[0], drawings[0]),
        (drawings[0], photos[0]),
    ):
        answer = shipped.post("/compare", files={"image_a": left, "image_b": right}).json()
        assert answer["in_distribution"] is (right is photos[1])
        if right is drawings[0]:
            found = [answer["typicality_a"], answer["typicality_b"]]
            assert found == pytest.approx(values, rel=1e-3)


def test_many_candidates_are_each_told_apart(shipped, drawings, photos) -> None:
    candidates = [photos[1], drawings[1], photos[2]]
    files = [("query", photos[0]), *(("candidates", image) for image in candidates)]
    answer = shipped.post("/compare/many", files=files).json()
    assert answer["query_typicality"] > 0.02
    assert {entry["index"]: entry["in_distribution"] for entry in answer["results"]} == {
        0: True,
        1: False,
        2: True,
    }
    alone = embed(shipped, candidates, "photos")["typicality"]
    for entry in answer["results"]:
        assert entry["typicality"] == pytest.approx(alone[entry["index"]], rel=1e-3)


def test_of_embeddings_only_the_query_is_known(shipped, drawings, photos) -> None:
    rows = embed(shipped, photos[:3], "photos")["embeddings"]
    for query, expected in ((photos[0], None), (drawings[0], False)):
        body = {"query": base64.b64encode(query).decode(), "candidates": rows}
        answer = shipped.post("/compare/many", json=body).json()
        assert (answer["query_typicality"] < 0.02) is (expected is False)
        assert [entry["in_distribution"] for entry in answer["results"]] == [expected] * 3
        assert [entry["typicality"] for entry in answer["results"]] == [None] * 3
    answer = shipped.post("/compare/many", json={"query": rows[0], "candidates": rows}).json()
    assert answer["query_typicality"] is None
    assert {entry["in_distribution"] for entry in answer["results"]} == {None}


def test_raw_embeddings_bring_it_in_a_header(shipped, photos) -> None:
    files = [("images", image) for image in photos[:2]]
    answer = shipped.post("/embed", files=files, headers={"accept": "application/octet-stream"})
    found = [float(value) for value in answer.headers["x-twinlens-typicality"].split(",")]
    assert found == pytest.approx(embed(shipped, photos[:2], "photos")["typicality"], rel=1e-3)


def test_drift_shows_in_the_metrics(shipped, drawings) -> None:
    def counted(le: str) -> float:
        line = f'twinlens_typicality_bucket{{le="{le}",model="photos",version="1"}} '
        text = shipped.get("/metrics").text
        return float(next(row for row in text.splitlines() if row.startswith(line)).split()[-1])

    before = counted("0.02"), counted("+Inf")
    embed(shipped, drawings, "photos")
    assert counted("+Inf") - before[1] == COUNT
    assert counted("0.02") - before[0] >= COUNT - 2
    text = shipped.get("/metrics").text
    for name in ("score_share", "typicality_share"):
        assert f"twinlens_calibration_{name}{{" in text
