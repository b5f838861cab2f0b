"""`predict`, on the model that ships and with the real parts."""

import io
import os

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from rich.console import Console

from model_store.images import decode, decode_prepared
from model_store.metric import Metric
from model_store.network import Side
from model_store.preprocessing import prepare
from model_store.store import ModelStore
from tests.training import small
from tests.training.trees import png
from training.cli import main
from training.pictures.comparison import comparison_sheet, half_blocks
from training.pictures.fonts import Lettering
from training.pictures.sheet import BAD
from training.prediction import Prediction, predict


def drawing(path, points, shift=0):
    image = Image.new("L", (105, 105), 255)
    ImageDraw.Draw(image).line([(x + shift, y + shift) for x, y in points], fill=0, width=6)
    image.save(path)
    return path


@pytest.fixture
def drawings(tmp_path):
    zigzag = [(20, 20), (80, 30), (25, 50), (80, 70), (30, 85)]
    box = [(30, 30), (75, 30), (75, 75), (30, 75), (30, 30)]
    return {
        "zigzag": drawing(tmp_path / "zigzag.png", zigzag),
        "again": drawing(tmp_path / "again ä.png", zigzag, shift=2),
        "box": drawing(tmp_path / "box.png", box),
    }


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "store")


def run(*words):
    return main(["predict", *map(str, words), "--device", "cpu"])


def test_the_shipped_model_tells_drawings_apart(drawings, capsys):
    assert run(drawings["zigzag"], drawings["again"], "--model", "glyphs") == 0
    same = capsys.readouterr().out
    assert "model: glyphs version" in same
    assert "decision: same (same where the score is ≤" in same
    assert run(drawings["zigzag"], drawings["box"], "--model", "glyphs") == 0
    different = capsys.readouterr().out
    assert "euclidean dissimilarity (lower is more alike)" in different
    assert "decision: different" in different
    assert "probability of being the same: 0." in different
    assert "▀" not in different


def test_a_picture_of_another_kind_is_told(drawings, tmp_path, capsys):
    assert run(drawings["zigzag"], drawings["box"], "--model", "glyphs") == 0
    assert "both are of the model's kind: typicality" in capsys.readouterr().out
    values = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    photo = tmp_path / "photo.png"
    Image.fromarray(values).resize((200, 200), Image.Resampling.BICUBIC).save(photo)
    assert run(drawings["zigzag"], photo, "--model", "glyphs") == 0
    assert "B is not of the model's kind, so that the rest says little" in capsys.readouterr().out
    assert run(photo, photo, "--model", "glyphs") == 0
    assert "A and B are not of the model's kind" in capsys.readouterr().out


def test_both_pictures_and_the_verdict_go_into_a_file(drawings, tmp_path, capsys):
    target = tmp_path / "verdict.png"
    assert run(drawings["zigzag"], drawings["box"], "--model", "glyphs", "--out", target) == 0
    with Image.open(target) as picture:
        picture.load()
        assert (picture.format, picture.width) == ("PNG", 900)
        assert picture.height > 400
    assert str(target) in capsys.readouterr().out


@pytest.mark.parametrize("typicality", [(0.5, 1.234e-7), (1.234e-7, 1.234e-7)])
def test_that_the_rest_says_little_stands_in_the_picture_whole(monkeypatch, typicality):
    written = []
    write = Lettering.write

    def seen(self, draw, corner, text, colour):
        written.append((text, colour))
        write(self, draw, corner, text, colour)

    monkeypatch.setattr(Lettering, "write", seen)
    metric = Metric.EXPONENTIAL_SIMILARITY
    found = Prediction(
        metric, 0.5, 0.5, same=True, threshold=0.5, typicality=typicality, level=1.234e-6
    )
    images = [Image.new("RGB", (8, 8))] * 2
    comparison_sheet(found, images, ["a.png", "b.png"], f"{'m' * 63} version 1234")
    strange = "B is" if typicality[0] == 0.5 else "A and B are"
    told = f"{strange} not of the model's kind, so that the rest says little"
    assert (told, BAD) in written
    lines = [text for text, _ in written]
    assert "typicality 1.234e-07, where 1.234e-06 is wanted" in lines
    assert ("typicality 0.5" in lines) == (strange == "B is")


def test_the_place_for_the_file_is_looked_at_before_a_model_is_loaded(store, drawings, capsys):
    words = (drawings["box"], drawings["box"], "--store", store.root, "--model", "absent")
    assert run(*words, "--out", store.root / "missing" / "x.png") == 1
    assert "give --out a file in a folder that exists" in capsys.readouterr().err


def test_a_pipe_is_written_to_whatever_its_name(store, drawings):
    store.save("plain", small.network("cosine"))
    reading, writing = os.pipe()
    words = (drawings["box"], drawings["box"], "--store", store.root)
    assert run(*words, "--out", f"/dev/fd/{writing}") == 0
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert Image.open(file).width == 900


def test_a_model_without_calibration_gives_its_score_alone(store, drawings, tmp_path, capsys):
    store.save("plain", small.network("cosine"))
    store.set_default("plain")
    store.set_alias("nickname", "plain")
    where = ("--store", store.root)
    assert run(drawings["box"], drawings["box"], *where, "--out", tmp_path / "x.png") == 0
    told = capsys.readouterr().out
    assert "score: 1, cosine similarity (higher is more alike)" in told
    assert "not calibrated" in told
    assert run(drawings["box"], drawings["box"], *where, "--model", "nickname") == 0
    assert "model: plain version 1" in capsys.readouterr().out


def test_a_is_the_left_branch_and_b_the_right(store, tmp_path):
    store.save("sided", small.network("cosine", sides=2))
    checkpoint = store.load("sided")
    network = checkpoint.network
    images, rows = [], []
    for seed, side in ((1, Side.LEFT), (2, Side.RIGHT)):
        images.append(png(seed, (32, 32)))
        pixels = decode_prepared(png(seed, (32, 32)), network.preprocessing)
        rows.append(network.embed(torch.from_numpy(pixels)[None], side))
    there = predict(checkpoint, *images).score
    assert there == pytest.approx(float(network.comparator(*rows)), abs=1e-6)
    assert there != pytest.approx(predict(checkpoint, *images[::-1]).score, abs=1e-4)


def test_a_large_jpeg_is_decoded_as_the_service_does(store, tmp_path, capsys):
    store.save("plain", small.network("cosine"))
    network = store.load("plain").network
    rng = np.random.default_rng(0)
    paths, rows = [], []
    for name in ("one.jpg", "two.jpg"):
        values = rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)
        paths.append(tmp_path / name)
        Image.fromarray(values).resize((1200, 1200)).save(paths[-1], quality=80)
        pixels = decode_prepared(paths[-1].read_bytes(), network.preprocessing)
        whole = prepare(decode(paths[-1]), network.preprocessing)
        assert (pixels != whole).any()
        rows.append(network.embed(torch.from_numpy(pixels)[None]))
    assert run(*paths, "--model", "plain", "--store", store.root) == 0
    score = float(network.comparator(*rows))
    assert f"score: {score:.6g}, cosine similarity" in capsys.readouterr().out


def test_order_dependent_comparators_are_averaged(store):
    store.save("signed", small.network("signed-difference-sigmoid"))
    checkpoint = store.load("signed")
    network = checkpoint.network
    images = [png(seed, (32, 32)) for seed in (1, 2)]
    one, two = (
        network.embed(
            torch.from_numpy(decode_prepared(png(seed, (32, 32)), network.preprocessing))[None]
        )
        for seed in (1, 2)
    )
    both = [float(network.comparator(one, two)), float(network.comparator(two, one))]
    assert both[0] != both[1]
    assert predict(checkpoint, *images).score == pytest.approx(sum(both) / 2, abs=1e-6)
    assert predict(checkpoint, *images[::-1]).score == predict(checkpoint, *images).score


@pytest.mark.parametrize(
    ("second", "more", "message"),
    [
        ("nowhere.png", (), "nowhere.png cannot be read (No such file"),
        ("text.png", (), "text.png: not an image of a type that is read"),
        ("cut.png", (), "cut.png: the image is damaged or cut short"),
        (".", (), "cannot be read"),
        ("good.png", ("--model", "absent"), "models there: plain"),
        ("good.png", (), "choose one with --model"),
        ("good.png", ("--model", "plain", "--out", "x.jpg"), "does not end in .png"),
        (
            "good.png",
            ("--model", "plain", "--out", "no/such/x.png"),
            "give --out a file in a folder",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line_that_helps(
    store, tmp_path, monkeypatch, capsys, second, more, message
):
    monkeypatch.chdir(tmp_path)
    store.save("plain", small.network("cosine"))
    (store.root / "store.json").unlink()
    (tmp_path / "text.png").write_text("text")
    (tmp_path / "cut.png").write_bytes(png(0, (64, 64))[:300])
    (tmp_path / "good.png").write_bytes(png(0))
    assert run("good.png", second, "--store", store.root, *more) == 1
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


def test_on_a_terminal_pictures_are_drawn_unless_colours_are_not_wanted(
    store, drawings, monkeypatch, capsys
):
    store.save("plain", small.network("cosine"))
    words = (drawings["box"], drawings["box"], "--model", "plain", "--store", store.root)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert run(*words) == 0
    assert "▀" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(*words) == 0
    told = capsys.readouterr().out
    assert "score: 1" in told
    assert "▀" not in told


def test_half_blocks_show_two_rows_in_each_line():
    left, right = Image.new("RGB", (9, 9), (255, 0, 0)), Image.new("L", (9, 9), 0)
    left.paste((0, 0, 255), (0, 5, 9, 9))
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, color_system="truecolor", width=40)
    console.print(half_blocks([left, right], 20), end="")
    lines = stream.getvalue().splitlines()
    # Nine columns each and two between; nine rows of pixels and one of grey in five lines.
    assert len(lines) == 5
    assert "38;2;255;0;0;48;2;255;0;0m" in lines[0]
    assert "38;2;255;0;0;48;2;0;0;255m" in lines[2]
    assert "38;2;0;0;255;48;2;128;128;128m" in lines[4]
    assert all(line.count("▀") == 18 for line in lines)
