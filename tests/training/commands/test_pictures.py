"""`evaluate --pictures`, for every protocol."""

from contextlib import nullcontext

import pytest
from PIL import Image

from model_store.store import ModelStore
from tests.training import small
from tests.training.trees import grown, png, pngs
from tests.training.undrawing import without_pictures
from training.cli import main

NAMES = [f"g{group}/c{n}/{image}.png" for group in "ab" for n in range(4) for image in range(3)]
CURVES = {"roc.png", "det.png", "scores.png"}


@pytest.fixture
def place(tmp_path):
    """A store with a calibrated model and a two-sided one, and images."""
    grown(tmp_path / "images", pngs(NAMES))
    ModelStore(tmp_path / "store").save("plain", small.network("euclidean"))
    ModelStore(tmp_path / "store").save("sided", small.network("cosine", sides=2))
    assert main(["calibrate", "plain", *words(tmp_path, "images"), "--far", "0.1"]) == 0
    return tmp_path


def words(place, data):
    there = ["--data", str(place / data), "--store", str(place / "store"), "--device", "cpu"]
    return [*there, "--seed", "0"]


def drawn(place, model, protocol, *more, data="images"):
    """The pictures' names; the charts, which are the same for every protocol, are drawn for one."""
    target = place / "new folder" / "Bilder ä"
    command = ["evaluate", model, *words(place, data), "--protocol", protocol]
    charts = protocol == "verification"
    with nullcontext() if charts else without_pictures():
        assert main([*command, "--pictures", str(target), *more]) == 0
    for path in target.iterdir():
        with Image.open(path) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert picture.width == 900 or (path.name in CURVES and not charts)
    return {path.name for path in target.iterdir()}


@pytest.mark.parametrize("model", ["plain", "sided"])
@pytest.mark.parametrize(
    ("protocol", "sheet"),
    [("verification", "pairs.png"), ("retrieval", "answers.png"), ("one-shot", "answers.png")],
)
def test_every_protocol_has_its_pictures(place, model, protocol, sheet):
    found = drawn(place, model, protocol, "--trials", "40", "--ways", "3")
    assert found == {*CURVES, sheet}


def test_lakes_runs_have_them_too(place):
    files = {f"run01/{kind}{n}.png": png(n) for kind in ("test/i", "training/c") for n in range(4)}
    lines = [f"run01/test/i{n}.png run01/training/c{(n + 1) % 4}.png" for n in range(4)]
    grown(place / "runs", {**files, "run01/class_labels.txt": "\n".join(lines).encode()})
    assert drawn(place, "plain", "omniglot-runs", data="runs") == {*CURVES, "answers.png"}


def test_a_gallery_is_drawn_from(place):
    grown(place / "gallery", pngs(name for name in NAMES if "/c1/" in name or "/c2/" in name))
    more = ("--gallery", str(place / "gallery"))
    assert drawn(place, "plain", "retrieval", *more) == {*CURVES, "answers.png"}


def test_a_folder_that_cannot_be_made_is_told_before_any_work(place, capsys):
    (place / "taken").write_text("a file")
    command = ["evaluate", "plain", *words(place, "images"), "--protocol", "verification"]
    assert main([*command, "--pictures", str(place / "taken")]) == 1
    told = capsys.readouterr()
    assert "give --pictures another folder" in told.err
    assert "auc" not in told.out
