import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.engines import __main__ as engines
from benchmarks.engines.chart import draw
from benchmarks.engines.contenders import OURS
from benchmarks.engines.networks import CLASSICS, NAMES, load
from benchmarks.provenance import heading, processor, provenance
from benchmarks.throughput import Contender
from model_store import ModelStore
from model_store.shipped import SHIPPED


def result() -> dict[str, object]:
    rows = [
        engines.row(
            "glyphs", 1, 4, {OURS: [90, 80, 99], "eager": [100, 90, 110], "inductor": [60] * 3}
        ),
        engines.row("glyphs", 2, 4, {OURS: [90], "eager": [45], "parts": [30]}),
    ]
    return {**provenance("benchmarks.engines"), "rounds": 1, "seconds": 0.5, "rows": rows}


def test_the_ratio_is_to_the_fastest_other() -> None:
    first, second = result()["rows"]
    assert (first["ratio"], first["fastest_other"], first["ratio_at_best"]) == (0.9, "eager", 0.9)
    assert second["ratio"] == 2


def test_every_row_of_the_report_has_every_column() -> None:
    lines = engines.report(result()).splitlines()[2:]
    assert {line.count("|") for line in lines} == {10}
    assert lines[-1] == "| glyphs | 2 | 4 | 90 | 45 |  | 30 | 2.00 | 2.00 |"


def test_the_plot_is_a_png(tmp_path: Path) -> None:
    draw(json.loads(json.dumps(result())), tmp_path / "engines.png")
    with Image.open(tmp_path / "engines.png") as image:
        assert image.format == "PNG"


def test_rounds_of_a_race_are_interleaved() -> None:
    calls: list[str] = []

    def contender(name: str) -> Contender:
        def forward(images: np.ndarray) -> np.ndarray:
            calls.append(name)
            return images

        return Contender(forward)

    images = np.zeros((2, 1, 1, 1), np.uint8)
    rates = engines.race({n: contender(n) for n in "ab"}, images, rounds=3, seconds=0)
    assert calls == ["a", "b"] * 3
    assert all(len(found) == 3 and min(found) > 0 for found in rates.values())


def test_callers_call_at_once_and_all_their_images_count() -> None:
    together = threading.Barrier(3, timeout=20)

    def forward(images: np.ndarray) -> np.ndarray:
        together.wait()  # Returns only if three callers are inside.
        time.sleep(0.01)
        return images

    rate = Contender(forward, callers=3).rate(np.zeros((4, 1), np.uint8), seconds=0)
    assert 0 < rate <= 3 * 4 / 0.01


def test_what_computes_something_else_does_not_race() -> None:
    features = np.eye(4, dtype=np.float32)
    engines.agree("same", features, 2 * features)
    with pytest.raises(ValueError, match="other computes something else"):
        engines.agree("other", features[::-1], features)
    with pytest.raises(ValueError, match="broken"):
        engines.agree("broken", features * np.nan, features)


def test_the_command_line() -> None:
    options = engines.parse(["--networks", "glyphs", "--batches", "4"])
    assert (options.networks, options.batches) == (["glyphs"], [4])
    assert engines.parse([]).networks == NAMES
    with pytest.raises(SystemExit):
        engines.parse(["--networks", "alexnet"])


def test_a_classic_network_has_the_same_weights_every_time() -> None:
    one, again = (CLASSICS["resnet18-224"]().state_dict() for _ in range(2))
    assert all(bool((one[name] == again[name]).all()) for name in one)


def test_a_shipped_network_is_the_one_that_serves(tmp_path: Path) -> None:
    assert load("glyphs", tmp_path).manifest == ModelStore(SHIPPED).manifest("glyphs")
    assert not list(tmp_path.iterdir())


def test_where_figures_come_from(tmp_path: Path) -> None:
    found = {**provenance("benchmarks.x"), "rounds": 3, "seconds": 1.5}
    assert str(found["command"]).startswith("python -m benchmarks.x")
    assert "medians of 3 rounds of 1.5 s" in heading(found)
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n")
    assert processor(tmp_path / "cpuinfo") == "Some CPU @ 2 GHz"
    assert processor(tmp_path / "missing")
