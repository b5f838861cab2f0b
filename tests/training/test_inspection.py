"""Warnings before a training: each of them, by name, and none where nothing is wrong."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_store import ModelStore
from tests.training.drawings import SMALL_RECIPE, draw_folder, write_recipe
from tests.training.trees import zipped
from training.cli import main
from training.data.fingerprints import near_pairs, perceptual_hash, take_fingerprints
from training.data.folders import open_data
from training.data.parts import make_parts, make_split, open_sources
from training.inspection import inspect, planned_steps
from training.progress import Reporter
from training.recipe.files import load_recipe

QUIET = ("max_steps=400",)


@pytest.fixture
def said(tmp_path):
    """The warnings for a folder of data; the small recipe, with values replaced."""

    def run(data: Path, *values: str) -> tuple[str, ...]:
        recipe = load_recipe(str(write_recipe(tmp_path / "r.yaml")), [*QUIET, *values])
        sources = open_sources(data, None)
        split = make_split(sources, recipe.split, recipe.seed)
        return inspect(make_parts(sources, split), recipe, Reporter(io.StringIO()))

    return run


@pytest.fixture
def drawings(tmp_path) -> Path:
    """Ten classes to train on; six each to validate and to calibrate."""
    return draw_folder(tmp_path / "drawings", classes=22, images=5)


def by_name(data: Path, part: str) -> list[str]:
    """The classes of a part."""
    recipe = load_recipe(str(write_recipe(data.parent / "r.yaml")))
    split = make_split(open_sources(data, None), recipe.split, recipe.seed)
    return list(getattr(split, part))


def test_nothing_wrong_nothing_said(said, drawings):
    assert said(drawings) == ()


def test_few_steps(said, drawings):
    (told,) = said(drawings, "max_steps=12")
    assert told.startswith("12 step(s), ")
    assert "--set epochs=" in told
    assert "max_steps" in told


def test_steps_are_those_of_the_training(drawings, tmp_path):
    folder = open_data(drawings).whole
    recipe = load_recipe(str(write_recipe(tmp_path / "r.yaml", SMALL_RECIPE)), ["epochs=3"])
    # 110 images four times, 16 a step
    assert planned_steps(folder, recipe) == (12, 27.5)
    recipe = load_recipe(str(tmp_path / "r.yaml"), ["epochs=3", "max_steps=null"])
    assert planned_steps(folder, recipe)[0] == 82


def test_few_classes(said, tmp_path):
    told = said(draw_folder(tmp_path / "few", classes=7, images=9), "split.calibration=0")
    assert [text.split(" ")[0] for text in told] == ["5"]
    assert "add classes" in told[0]


def test_a_class_of_one_image_and_classes_of_many(said, drawings):
    lonely, large = by_name(drawings, "train")[:2]
    for path in sorted((drawings / lonely).iterdir())[1:]:
        path.unlink()
    for number in range(20):
        generator = np.random.default_rng(number)
        values = generator.integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(values).save(drawings / large / f"more{number}.png")
    single, uneven = said(drawings)
    assert "1 class(es)" in single
    assert lonely in single
    assert f"'{large}' has 25 images" in uneven
    assert f"'{lonely}' 1" in uneven


def test_few_pairs_to_validate(said, tmp_path):
    told = said(draw_folder(tmp_path / "few", classes=22, images=2))
    assert sum("few, and figures from them mean little" in text for text in told) == 2


class TestDuplicates:
    def test_one_file_under_two_class_names(self, said, drawings):
        one, two = by_name(drawings, "train")[:2]
        (drawings / two / "copy.png").write_bytes((drawings / one / "00.png").read_bytes())
        (told,) = said(drawings)
        assert "1 file(s) are under two class names" in told
        assert f"{one}/00.png" in told
        assert f"{two}/copy.png" in told

    def test_one_file_in_two_parts(self, said, drawings):
        train, validation = by_name(drawings, "train")[0], by_name(drawings, "validation")[0]
        (drawings / validation / "c.png").write_bytes((drawings / train / "00.png").read_bytes())
        told = said(drawings)
        assert len(told) == 2
        assert f"{train}/00.png (training) = {validation}/c.png (validation)" in told[1]
        assert "flatter" in told[1]

    def test_one_picture_encoded_anew_at_another_size(self, said, drawings):
        train, calibration = by_name(drawings, "train")[0], by_name(drawings, "calibration")[0]
        with Image.open(drawings / train / "00.png") as image:
            larger = image.resize((64, 64), Image.Resampling.BICUBIC)
            larger.save(drawings / calibration / "again.jpg", quality=85)
        (told,) = said(drawings)
        assert "1 training image(s) look the same as 1 calibration image(s)" in told
        assert f"{train}/00.png and {calibration}/again.jpg" in told

    def test_classes_of_the_same_name_that_share_a_file(self, said, tmp_path):
        data = tmp_path / "both"
        draw_folder(data / "train", classes=11, images=5)
        draw_folder(data / "val", classes=11, images=5)
        told = said(data)
        assert len(told) == 1
        assert told[0].startswith("55 file(s) are both among what is trained on and what judges")
        assert "and 52 more" in told[0]

    def test_too_many_to_look_at_are_sampled_and_that_is_said(self, said, drawings, monkeypatch):
        monkeypatch.setattr("training.inspection.MOST_LOOKED_AT", 30)
        told = said(drawings)
        assert any("among 30 of 50 training images only" in text for text in told)


class TestFingerprints:
    def test_the_hash_is_that_of_the_slow_transform(self):
        look = np.random.default_rng(0).uniform(0, 255, (1, 32, 32)).astype(np.float32)
        low = np.zeros((8, 8))
        for u in range(8):
            for v in range(8):
                across = np.cos(np.pi / 32 * (np.arange(32) + 0.5) * v)
                down = np.cos(np.pi / 32 * (np.arange(32) + 0.5) * u)
                low[u, v] = (look[0] * down[:, None] * across).sum()
        flat = low.reshape(-1)
        flat[0] = 0
        expected = np.where(flat > np.median(flat[1:]), 1, -1)
        np.testing.assert_array_equal(perceptual_hash(look)[0], expected)

    def test_what_cannot_be_read_is_left_out(self, drawings):
        (drawings / "class00" / "01.png").write_text("not an image")
        folder = open_data(drawings).whole
        told = []
        prints = take_fingerprints(
            folder, folder.items, workers=2, on_progress=lambda *given: told.append(given)
        )
        assert len(prints.items) == len(prints.digests) == len(prints.looks) == 109
        assert told[-1] == (110, 110)
        assert len(take_fingerprints(folder, (), workers=1).items) == 0

    def test_blank_pages_are_like_no_other(self, tmp_path):
        buffer = io.BytesIO()
        Image.new("L", (20, 20), 255).save(buffer, "PNG")
        files = {f"{name}/1.png": buffer.getvalue() for name in "ab"}
        folder = open_data(zipped(tmp_path / "d.zip", files)).whole
        prints = take_fingerprints(folder, folder.items, workers=1)
        assert len(near_pairs(prints, prints)) == 0
        assert len(set(prints.digests)) == 1

    def test_real_photos_are_not_taken_for_one_another(self, data):
        opened = open_data(data / "grocery_store" / "grocery_store.zip")
        some = opened.validation.items[::4]
        prints = take_fingerprints(opened.validation, some, workers=2)
        pairs = near_pairs(prints, prints)
        assert pairs.tolist() == [[n, n] for n in range(len(some))]


def test_warnings_are_said_at_the_beginning_and_kept(drawings, tmp_path, capsys):
    one, two = by_name(drawings, "train")[:2]
    (drawings / two / "copy.png").write_bytes((drawings / one / "00.png").read_bytes())
    words = ["fit", "--data", str(drawings), "--name", "m", "--device", "cpu"]
    words += ["--store", str(tmp_path / "store"), "--recipe", str(tmp_path / "r.yaml")]
    assert main(words) == 0
    told = capsys.readouterr().err
    assert told.index("warning: 12 step(s)") < told.index("training 'm'")
    card = (ModelStore(tmp_path / "store").find("m").path / "card.md").read_text()
    assert "## Warnings" in card
    assert f"{two}/copy.png" in card
