import io
import json
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from benchmarks.growth import __main__ as growth
from benchmarks.growth import bodies, sweeps
from benchmarks.growth.chart import draw
from benchmarks.growth.rounds import interleaved
from benchmarks.photos import load_photos
from benchmarks.provenance import provenance
from model_store import ModelStore
from tests.app.material import DIMENSION, network
from tests.app.serving import in_thread


def result() -> dict[str, object]:
    speed = {"images_per_second": 100.0, "p50_ms": 1.25, "p99_ms": 3.0}
    engine = {"engine_images_per_second": 200.0, "engine_ms": 5.0}
    found = {
        "batch": [{"batch": n, **engine, **speed} for n in sweeps.BATCHES],
        "size": [{"side": n, "kilobytes": 9.0, **speed, "alone_p50_ms": 9.0} for n in sweeps.SIDES],
        "models": [{"models": n, "start_seconds": 5.0, **speed} for n in sweeps.MODELS],
        "candidates": [
            {"model": name, "dimension": 8, "candidates": n, "p50_ms": n / 100, "p99_ms": 9.0}
            for name in ("photos", "glyphs")
            for n in sweeps.CANDIDATES
        ],
    }
    return {**provenance("benchmarks.growth"), "rounds": 1, "seconds": 1.0, "sweeps": found}


def test_rounds_are_interleaved_and_figures_medians() -> None:
    seen: list[int] = []

    def measure(point: int) -> dict[str, float]:
        seen.append(point)
        return {"value": point * 10.0 + len(seen)}

    found = interleaved("x", (1, 2), measure, 3)
    assert seen == [1, 2, 1, 2, 1, 2]
    assert found == {1: {"value": 13.0}, 2: {"value": 24.0}}


def test_the_report_has_a_table_for_each_sweep() -> None:
    text = growth.report(result())
    assert "| batch | engine images per second | engine ms | images per second |" in text
    assert "| 32 | 200 | 5.0 | 100 | 1.2 | 3.0 |" in text
    assert text.count("|---") > 4


@pytest.mark.parametrize("chosen", [["size"], ["batch", "size", "models", "candidates"]])
def test_the_plot_is_a_png(tmp_path: Path, chosen: list[str]) -> None:
    found = json.loads(json.dumps(result()))
    found["sweeps"] = {name: found["sweeps"][name] for name in chosen}
    draw(found, tmp_path / "growth.png")
    with Image.open(tmp_path / "growth.png") as image:
        assert image.format == "PNG"


def test_the_command_line() -> None:
    assert growth.parse([]).sweeps == ["batch", "size", "models", "candidates"]
    assert growth.parse(["--sweeps", "size", "--rounds", "1"]).sweeps == ["size"]
    with pytest.raises(SystemExit):
        growth.parse(["--sweeps", "time"])


@pytest.mark.parametrize("side", [100, 700])
def test_a_photo_at_another_size(side: int) -> None:
    (photo, *_), _ = load_photos(2)
    shape = Image.open(io.BytesIO(photo)).size
    made = Image.open(io.BytesIO(bodies.enlarged(photo, side, seed=1)))
    assert (made.format, max(made.size)) == ("JPEG", side)
    assert made.width / made.height == pytest.approx(shape[0] / shape[1], rel=0.02)
    assert bodies.enlarged(photo, side, seed=1) == bodies.enlarged(photo, side, seed=1)


def test_a_server_takes_the_requests(tmp_path: Path) -> None:
    ModelStore(tmp_path / "store").save("tiny", network())
    photos, _ = load_photos(3)
    rows = np.eye(5, DIMENSION, dtype=np.float32)
    with in_thread(tmp_path / "store") as running:
        made = {
            "many": bodies.embed(photos, "tiny"),
            "raw": bodies.embed_raw(photos[0], "tiny"),
            "compare": bodies.compare_many(photos[0], rows, "tiny"),
        }
        for name, request in made.items():
            sent = bodies.write(tmp_path / name, [request])
            found = sweeps.requested(running.port, sent, 0.2, 2, images=3)
            assert found["images_per_second"] > 0
            assert found["p50_ms"] <= found["p99_ms"]
        refused = bodies.write(tmp_path / "refused", [bodies.embed_raw(b"no image", "tiny")])
        with pytest.raises(RuntimeError, match="refused failed"):
            sweeps.requested(running.port, refused, 0.1, 1)
        head, body = made["compare"].split(b"\r\n\r\n", 1)
        headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        answer = running.client.post(
            "/compare/many?model=tiny",
            content=body,
            headers={"Content-Type": headers[b"Content-Type"].decode()},
        )
    assert answer.status_code == httpx.codes.OK
    assert len(answer.json()["results"]) == 5
