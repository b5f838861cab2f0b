"""What the benchmark of precisions says of an engine."""

from pathlib import Path

import pytest

from benchmarks import precision
from model_store import ModelStore
from tests.app.material import network, picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four classes of three pictures."""
    for label in range(4):
        for number in range(3):
            file = tmp_path / "data" / f"class{label}" / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(picture(seed=10 * label + number))
    return tmp_path / "data"


def test_each_precision_is_held_against_torch(tmp_path: Path, folder: Path) -> None:
    store = ModelStore(tmp_path / "store")
    store.save("tiny", network())
    rows = precision.measure("tiny", folder, store)
    assert [row["engine"] for row in rows][:2] == ["torch float32", "openvino float32"]
    reference, exact = rows[:2]
    assert reference["score_differs_most"] == 0
    assert reference["images"] == 12
    assert exact["cosine_worst"] == pytest.approx(1, abs=1e-5)
    assert (exact["auc"], exact["eer"]) == pytest.approx((reference["auc"], reference["eer"]))
    assert "decisions_alike" not in exact, "it has no threshold"
    assert "no threshold" in precision.table(rows)


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path, folder: Path) -> None:
    (folder / "class0" / "broken.png").write_bytes(b"no picture")
    store = ModelStore(tmp_path / "store")
    store.save("tiny", network())
    with pytest.raises(SystemExit, match=r"class0/broken\.png"):
        precision.measure("tiny", folder, store)


def test_without_data_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ModelStore(tmp_path / "store").save("tiny", network())
    missing = tmp_path / "missing"
    words = ["precision", f"tiny={missing}", "--store", str(tmp_path / "store")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit, match=rf"^error: [^\n]*{missing}[^\n]*$"):
        precision.main()
    monkeypatch.setattr("sys.argv", ["precision", f"nobody={missing}", *words[2:]])
    with pytest.raises(SystemExit, match=r"^error: .*nobody"):
        precision.main()
