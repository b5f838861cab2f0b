import io
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from app.settings import Settings
from benchmarks.peers import __main__ as peers
from benchmarks.peers import plain, servers
from benchmarks.peers.__main__ import COMPARISONS, FIGURES, parse
from benchmarks.peers.chart import draw
from benchmarks.peers.servers import PEERS, Peer
from benchmarks.peers.table import ratio_to_best, report
from benchmarks.provenance import provenance
from benchmarks.service import medians
from model_store.images import decode_prepared
from model_store.preprocessing import Preprocessing, normalise
from tests import tiny

CROPPED = Preprocessing(
    height=32,
    width=32,
    mode="RGB",
    resize="crop",
    crop_fraction=0.8,
    interpolation="bicubic",
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.25, 0.3),
)


def found(rate: float, failures: int = 0) -> dict[str, object]:
    row = dict.fromkeys(("p50_ms", "p99_ms", "cpu_ms", "client_cpu_ms"), 2 * rate)
    return {
        **row,
        "images_per_second": rate,
        "failures": {"503": failures} if failures else {},
        "overdue": 2 * failures,
    }


def result() -> dict[str, object]:
    rows = {
        name: {
            level: medians([found(rate, failures)], FIGURES)
            for level in ("closed 1", "closed 8", "open")
        }
        for name, rate, failures in (("Twinlens", 30.0, 0), ("one", 20.0, 0), ("other", 10.0, 3))
    }
    return {
        **provenance("benchmarks.peers"),
        "images": "some",
        "engine": "auto",
        "rounds": 1,
        "seconds": 1.0,
        "comparisons": {
            "ours": {"servers": rows, "open_loop_rate": 15.0},
            "pillow": {"servers": rows},
        },
        "server_alone": {"Twinlens": medians([found(1.0)], FIGURES)},
    }


def test_a_server_that_ends_is_said_to_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "_ATTEMPTS", 1)
    (tmp_path / "ends.py").write_text("raise SystemExit(3)")
    peer = Peer("Ended", str(tmp_path / "ends.py"), "raw")
    with (
        pytest.raises(SystemExit, match=r"Ended ended by itself.*PYTHONPATH=\. WORD=1 \S*python"),
        servers.started(peer, tmp_path, {"WORD": "1"}),
    ):
        pass


def test_what_is_finished_is_written_though_the_rest_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: object, given: dict[str, Any]) -> None:
        given["comparisons"]["ours"] = result()["comparisons"]["ours"]
        sys.exit("error: a server ended")

    monkeypatch.setattr(peers, "measure", fails)
    monkeypatch.setattr(peers, "interpreter", lambda *_: "")
    monkeypatch.setattr(peers, "exit_on_signals", lambda: None)
    monkeypatch.setattr("sys.argv", ["peers", "--json", str(tmp_path / "peers.json")])
    with pytest.raises(SystemExit, match="a server ended"):
        peers.main()
    assert set(json.loads((tmp_path / "peers.json").read_text())["comparisons"]) == {"ours"}
    assert "| Twinlens | 30 | 60 | 60 |" in capsys.readouterr().out


def test_twinlens_answers_with_the_model_that_the_others_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("TWINLENS_PORT", "TWINLENS_DEFAULT_MODEL"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr("sys.argv", ["twinlens.py", "8123"])
    chosen = {}
    monkeypatch.setattr("app.__main__.main", lambda _: chosen.update(Settings().model_dump()))
    with pytest.raises(SystemExit):
        runpy.run_module("benchmarks.peers.twinlens", run_name="__main__")
    assert (chosen["port"], chosen["default_model"]) == (8123, "photos")


def test_the_ratio_is_to_the_best_of_the_others() -> None:
    rows = result()["comparisons"]["ours"]["servers"]
    assert ratio_to_best(rows, "closed 8") == 1.5
    assert ratio_to_best({"Twinlens": rows["Twinlens"]}, "closed 8") is None


def test_the_report_tells_ratios_and_failures() -> None:
    text = report(result())
    assert text.count("| the first, of the best other | 1.50 | | ") == 2
    assert "other: 3 requests failed (closed 8)" in text
    assert "other: 6 requests had at the end waited for an answer longer" in text
    assert "- Twinlens: 2.00" in text
    assert "open loop at 15 requests/s" in text


def test_a_server_that_mostly_did_not_answer_has_no_latency_rather_than_the_best() -> None:
    found = result()
    found["comparisons"]["ours"]["servers"]["other"]["closed 8"] |= {"p50_ms": None, "p99_ms": None}
    assert "| other | 10 | 20 | 20 | 10 | ∞ | ∞ | 10 | 20 | 20 |" in report(found)


def test_the_plot_is_a_png(tmp_path: Path) -> None:
    shown = json.loads(json.dumps(result()))
    shown["comparisons"]["ours"]["servers"]["other"]["closed 8"]["p99_ms"] = None
    draw(shown, tmp_path / "peers.png")
    with Image.open(tmp_path / "peers.png") as image:
        assert image.format == "PNG"
        assert min(image.size) > 300


def test_the_command_line() -> None:
    options = parse([])
    assert options.comparisons == COMPARISONS
    assert options.only == [peer.name for peer in PEERS[1:]]
    assert parse(["--only", "Triton", "BentoML"]).only == ["Triton", "BentoML"]
    for wrong in (["--only", "nobody"], ["--comparisons", "other"], ["--rounds", "two"]):
        with pytest.raises(SystemExit):
            parse(wrong)


@pytest.mark.parametrize("size", [(60, 45), (45, 60), (333, 512)])
def test_plain_decoding_is_what_the_network_takes_but_for_the_filter(
    size: tuple[int, int],
) -> None:
    ramp = np.linspace(0, 255, size[0] * size[1] * 3).reshape(size[1], size[0], 3)
    buffer = io.BytesIO()
    Image.fromarray(ramp.astype(np.uint8)).save(buffer, "JPEG", quality=95)
    ours = torch.from_numpy(decode_prepared(buffer.getvalue(), CROPPED))[None]
    expected = normalise(ours, CROPPED)[0].numpy()
    plainly = plain.decode(buffer.getvalue(), CROPPED)
    assert plainly.shape == (3, 32, 32)
    assert plainly.dtype == np.float32
    assert np.abs(plainly - expected).mean() < 0.05


def test_the_plain_network_gives_what_the_whole_one_does(tmp_path: Path) -> None:
    network = tiny.network("cosine", tiny.COLOUR_32)
    images = torch.randint(0, 256, (5, 32, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        expected = network.features(images).numpy()
        floats = normalise(images, network.preprocessing).contiguous().numpy()
    np.testing.assert_allclose(plain.eager(network)(floats), expected, atol=1e-5)
    plain.convert(network, tmp_path / "network.xml")
    forward = plain.openvino(tmp_path / "network.xml", "float32")
    np.testing.assert_allclose(forward(floats), expected, atol=1e-4)
