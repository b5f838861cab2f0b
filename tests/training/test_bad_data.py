"""Data as people have it: each fault is skipped or refused by name, and never ends in a trace."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.drawings import draw_folder, with_recipe, write_recipe
from training.cli import main


@pytest.fixture
def drawings(tmp_path) -> Path:
    """Sound data, in a folder whose path has spaces and letters of several scripts."""
    return draw_folder(tmp_path / "meine Bilder ψ 画像", classes=10, images=4)


@pytest.fixture
def fit(tmp_path, capsys):
    """Trains two steps on some data; gives back the exit status and what was said."""
    write_recipe(tmp_path / "small.yaml")

    def run(data: Path, *values: str) -> tuple[int, str]:
        words = ["fit", "--data", str(data), "--name", "m", "--device", "cpu"]
        words += ["--store", str(tmp_path / "store")]
        sets = ("max_steps=2", "batches_per_step=1", "data.turned_classes=false", *values)
        status = main([*words, *with_recipe(tmp_path, *sets)])
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return status, said

    return run


def spoiled(root: Path) -> dict[str, str]:
    """Adds every fault to a folder; returns what is to be said of each file or class."""
    for name in ("class00", "class01", "class02"):
        (root / name).rename(root / f"{name} Ähre 画像")
    ours = root / "class03"
    (ours / "00.png").write_bytes((ours / "01.png").read_bytes()[:70])
    (ours / "notes.png").write_text("not an image")
    (ours / "gone.png").symlink_to(root / "nowhere.png")
    Image.new("1", (20_000, 4_000)).save(ours / "wide.png")
    (root / "empty").mkdir()
    (root / "class04" / "deeper").mkdir()
    Image.new("L", (9, 9)).save(root / "class04" / "deeper" / "1.png")
    (root / "README.txt").write_text("hello")
    return {
        "class03/00.png": "damaged or cut short",
        "class03/notes.png": "not an image of a type that is read",
        "class03/gone.png": "the file cannot be read",
        "class03/wide.png": "20000x4000 = 80,000,000 pixels, over the limit",
        "empty": "an empty class",
        "class04/deeper/1.png": "below a class folder",
    }


def mixed(root: Path) -> None:
    """An image of every mode and type there is."""
    values = np.random.default_rng(0).integers(0, 256, (40, 30, 4), dtype=np.uint8)
    colour = Image.fromarray(values[..., :3])
    folder = root / "mixed modes"
    folder.mkdir()
    Image.fromarray(values).save(folder / "rgba.png")
    colour.save(folder / "colour.webp")
    colour.convert("P").save(folder / "palette.gif")
    colour.convert("1").save(folder / "bits.bmp")
    colour.convert("CMYK").save(folder / "cmyk.jpg")
    colour.convert("LA").save(folder / "grey alpha.png")
    Image.fromarray(values[..., 0].astype(np.uint16) * 200).save(folder / "sixteen.png")
    colour.convert("L").save(folder / "grey.pgm")
    colour.resize((20_000, 8)).save(folder / "20,000 wide but flat.jpg")


@pytest.mark.parametrize("share", [0.5, 0])
def test_every_fault_at_once_is_named_at_the_end(fit, store, drawings, share):
    expected = spoiled(drawings)
    mixed(drawings)
    status, said = fit(drawings, "split.calibration=0", "seed=1", f"data.memory_share={share}")
    assert status == 0
    assert "not used: 1 file(s) whose names do not end as images' names do" in said
    lines = said[said.index(" not used (all are in skipped.csv") :].splitlines()
    kept = (store.find("m").path / "skipped.csv").read_text(encoding="utf-8")
    if share:
        assert f"\n{len(expected)} not used" in said
    for key, reason in expected.items():
        told = [line for line in lines if line.strip().startswith(f"{key}: ")]
        if share or told:
            assert reason in told[0]
            assert key in kept
    assert "mixed modes" not in kept
    assert any(line.strip() == "1 × an empty class" for line in lines)
    assert "画像" in (store.find("m").path / "split.json").read_text(encoding="utf-8")


def test_a_zip_with_names_that_lead_out_of_it(fit, store, drawings, tmp_path):
    archive = tmp_path / "Bilder 画像.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(drawings.rglob("*.png")):
            file.write(path, path.relative_to(drawings))
        file.writestr("../outside.png", b"x")
        file.writestr("class00/../../outside too.png", b"x")
        file.writestr("class00/broken.png", b"x")
    status, said = fit(archive)
    assert status == 0
    assert "2 × its name points outside the archive" in said
    assert "../outside.png: its name points outside" in said
    assert "outside too.png" in said
    assert not list(tmp_path.parent.rglob("outside*"))


def test_one_class_only(fit, drawings, store):
    for folder in sorted(drawings.iterdir())[1:]:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    status, said = fit(drawings)
    assert status == 1
    assert "画像 has 1 class(es), and training needs at least 6" in said
    status, said = fit(drawings, "split.validation=0", "split.calibration=0")
    assert status == 1
    assert "has 1 class(es), and training needs at least 2" in said
    assert store.models() == []


def test_classes_that_cannot_judge_are_refused_before_training(fit, drawings):
    for folder in drawings.iterdir():
        for path in sorted(folder.iterdir())[1:]:
            path.unlink()
    status, said = fit(drawings)
    assert status == 1
    assert "classes drawn for validation has two images" in said
    assert "--set split.validation=0" in said
    assert "training 'm'" not in said


def test_nothing_but_bad_files(fit, drawings):
    for path in drawings.rglob("*.png"):
        path.write_text("not an image")
    status, said = fit(drawings)
    assert status == 1
    assert "not one image can be decoded (class" in said


def test_an_empty_folder_and_an_empty_zip(fit, tmp_path):
    (tmp_path / "nothing").mkdir()
    with zipfile.ZipFile(tmp_path / "nothing.zip", "w"):
        pass
    for name in ("nothing", "nothing.zip"):
        status, said = fit(tmp_path / name)
        assert status == 1
        assert f"{name}: no images; expected class/image" in said


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read every file")
def test_a_folder_that_may_not_be_listed(fit, drawings):
    closed = drawings / "class05"
    closed.chmod(0)
    try:
        status, said = fit(drawings)
    finally:
        closed.chmod(0o755)
    assert status == 1
    assert "class05 cannot be listed" in said
