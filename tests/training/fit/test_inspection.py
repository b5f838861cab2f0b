"""Warnings before a training: each of them, by name, and none where nothing is wrong."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from model_store import ModelStore
from tests.training.drawings import draw_folder, leave_one, write_recipe
from training.cli import main
from training.data.opening import open_data
from training.data.parts import Parts
from training.data.sampling import SAMPLERS
from training.errors import DataError
from training.fit.inspection import check_pairs
from training.recipe.files import load_recipe

pytestmark = pytest.mark.usefixtures("undrawn")


def test_nothing_wrong_nothing_said(said, drawings):
    assert said(drawings) == ()


def test_few_steps(said, drawings):
    (told,) = said(drawings, "max_steps=12")
    # Ten classes of five images, each turned four ways, sixteen at a time: 12.5 steps an epoch.
    assert told.startswith("12 step(s), 0.96 epochs, are few, and max_steps allows no more")
    assert told.endswith("fewer than 200; train longer (--set max_steps=…)")
    (told,) = said(drawings, "max_steps=150")
    assert told.startswith("150 step(s), 12 epochs, ")
    assert said(drawings, "max_steps=200") == ()


def test_what_makes_steps_few(said, drawings):
    (told,) = said(drawings, "epochs=2")
    assert "25 step(s), 2 epochs, are few, and epochs allows no more" in told
    assert "train longer (--set epochs=…), or make steps smaller (--set batch=…)" in told
    (told,) = said(drawings, "epochs=2", "max_steps=20")
    assert "and max_steps allows no more" in told
    assert told.endswith("(--set max_steps=… --set epochs=…)")
    (told,) = said(drawings, "epochs=20", "max_steps=20", "max_minutes=1")
    assert told.endswith("(--set max_steps=…, or more --minutes where they have set that)")


def test_a_rate_for_larger_batches_than_are_drawn(said, drawings):
    evenly = ("data.turned_classes=false", "sampling.name=classes-by-images", "batch=64")
    scaled = (*evenly, "optimiser.reference_batch=16")
    (told,) = said(drawings, *scaled)
    assert told.startswith("a batch has 20 images, ")
    assert told.endswith("as for 64; set the batch to what is drawn (--set batch=20)")
    assert said(drawings, *scaled, "batch=20") == ()
    assert said(drawings, *evenly) == ()
    assert said(drawings, *scaled, "sampling.name=balanced-pairs") == ()


def test_what_takes_a_validation_where_there_is_none(said, drawings):
    best, ends = "validation.keep=best", "validation.patience=3"
    assert said(drawings, best, ends) == ()
    assert said(drawings, "split.validation=0") == ()
    (told,) = said(drawings, "split.validation=0", best, ends)
    assert f"{best} and {ends} cannot be" in told
    assert "--set split.validation=0.15" in told
    assert told.endswith("(--set validation.keep=last --set validation.patience=null)")
    (told,) = said(drawings, "validation.times=0", ends)
    assert told.startswith(f"validation.times is 0, so that {ends} cannot be")


def test_few_classes(said, tmp_path):
    told = said(draw_folder(tmp_path / "few", classes=7, images=9), "split.calibration=0")
    assert [text.split(" ")[0] for text in told] == ["5"]
    assert "add classes" in told[0]


def test_a_class_of_one_image_and_classes_of_many(said, drawings, by_name):
    lonely, large = by_name("train")[:2]
    leave_one(drawings / lonely)
    for number in range(20):
        generator = np.random.default_rng(number)
        values = generator.integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(values).save(drawings / large / f"more{number}.png")
    single, uneven = said(drawings, "sampling={name: shuffled}")
    assert "1 class(es)" in single
    assert lonely in single
    assert f"'{large}' has 25 images" in uneven
    assert f"'{lonely}' 1" in uneven
    assert said(drawings, "sampling={name: classes-by-images, options: {images: 2}}") == (single,)


EVENLY = (
    "sampling={name: classes-by-images, options: {images: 2}}",
    "sampling.name=balanced-pairs",
)


@pytest.mark.parametrize("sampling", EVENLY)
def test_images_drawn_over_and_over_where_classes_are_drawn_evenly(
    said, drawings, by_name, sampling
):
    pair, *others = by_name("train")
    for path in sorted((drawings / pair).iterdir())[2:]:
        path.unlink()
    assert said(drawings, sampling) == ()
    for number, large in enumerate(others[:2]):
        for copy in range(100):
            generator = np.random.default_rng(100 * number + copy)
            values = generator.integers(0, 256, (32, 32), dtype=np.uint8)
            Image.fromarray(values).save(drawings / large / f"more{copy}.png")
    (worn,) = said(drawings, sampling)
    # 2·105 + 7·5 + 2 images of ten classes: 24.7 on average, and 2 of the pair.
    assert f"the 2 images of '{pair}' are each seen 12 times as often" in worn
    assert said(drawings, sampling, "max_steps=0") == ()


def test_a_sampler_says_itself_whether_it_draws_by_image(said, drawings, by_name, monkeypatch):
    leave_one(drawings / by_name("train")[0])
    for number in range(20):
        values = np.random.default_rng(number).integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(values).save(drawings / by_name("train")[1] / f"more{number}.png")
    evenly = "sampling={name: classes-by-images, options: {images: 2}}"
    assert len(said(drawings, evenly)) == 1
    monkeypatch.setattr(SAMPLERS["classes-by-images"], "by_image", True)
    assert "draw classes evenly" in said(drawings, evenly)[1]


@pytest.mark.parametrize("purpose", ["validation", "calibration"])
def test_a_class_of_one_image_cannot_judge(said, drawings, by_name, purpose):
    lonely = by_name(purpose)[0]
    leave_one(drawings / lonely)
    (told,) = said(drawings)
    assert told.startswith(f"1 class(es) for {purpose} have a single image")
    assert lonely in told


@pytest.mark.parametrize("purpose", ["validation", "calibration"])
def test_a_single_class_cannot_judge(drawings, purpose):
    """As is left of two where the images of one cannot be decoded."""
    folder = open_data(drawings).whole
    recipe = load_recipe(str(write_recipe(drawings.parent / "r.yaml")), ["validation.times=0"])
    parts = Parts(folder.subset(range(5)), folder.subset([6, 7]), folder.subset([8, 9]))
    check_pairs(parts, recipe)
    fewer = replace(parts, **{purpose: folder.subset([7])})
    told = rf"'{folder.classes[7].name}' is all .* for {purpose}, .* split\.{purpose}=0"
    with pytest.raises(DataError, match=told):
        check_pairs(fewer, recipe)


def test_few_pairs_to_validate(said, tmp_path):
    told = said(draw_folder(tmp_path / "few", classes=22, images=2))
    few = [text for text in told if "few, and figures from them mean little" in text]
    assert ["or raise split.validation" in text for text in few] == [True, False]
    assert ["or raise split.calibration" in text for text in few] == [False, True]


def test_few_pairs_where_no_share_would_give_more(said, tmp_path):
    data = tmp_path / "data"
    draw_folder(data / "train", classes=12, images=5)
    draw_folder(data / "val", classes=8, images=2)
    few = [text for text in said(data) if "mean little" in text]
    assert len(few) == 2
    assert all(text.endswith("or set more classes aside") for text in few)
    few = [text for text in said(data / "val", "max_steps=0", crossed=True) if "little" in text]
    assert len(few) == 1
    assert few[0].endswith("or add classes")


@pytest.mark.parametrize("apart", [True, False])
def test_what_was_set_aside_and_cannot_judge_is_refused_with_advice_that_helps(
    tmp_path, capsys, apart
):
    data = tmp_path / "data"
    trained, other = draw_folder(data / "train", classes=12, images=5), data / "val"
    draw_folder(other, classes=8, images=1)
    recipe = ["--recipe", str(write_recipe(tmp_path / "r.yaml"))]
    words = ["fit", "--name", "m", "--device", "cpu", "--store", str(tmp_path / "store"), *recipe]
    given = [str(trained), "--holdout", str(other)] if apart else [str(data)]
    assert main([*words, "--data", *given]) == 1
    told = capsys.readouterr().err
    assert "drawn for validation has two images" in told
    assert "(leave --holdout out; or, of data with a train/ and a val/, give the train/" in told
    assert "split.validation=0" not in told
    assert main([*words, "--data", str(trained)]) == 0


def test_classes_that_cannot_judge_are_refused_before_anything_is_tried(tmp_path, capsys):
    data = draw_folder(tmp_path / "single", classes=12, images=1)
    words = ["fit", "--data", str(data), "--name", "m", "--device", "cpu"]
    assert main([*words, "--store", str(tmp_path / "store")]) == 1
    told = capsys.readouterr().err
    assert "drawn for calibration has two images" in told
    assert "looked at" not in told


def test_warnings_are_said_at_the_beginning_and_kept(drawings, tmp_path, capsys, by_name):
    one, two = by_name("train")[:2]
    (drawings / two / "copy.png").write_bytes((drawings / one / "00.png").read_bytes())
    words = ["fit", "--data", str(drawings), "--name", "m", "--device", "cpu"]
    words += ["--store", str(tmp_path / "store"), "--recipe", str(tmp_path / "r.yaml")]
    assert main(words) == 0
    told = capsys.readouterr().err
    assert told.index("warning: 12 step(s)") < told.index("training 'm'")
    card = (ModelStore(tmp_path / "store").find("m").path / "card.md").read_text()
    assert "## Warnings" in card
    assert f"{two}/copy.png" in card


def test_a_name_with_line_breaks_is_told_in_one_line(said, drawings):
    (drawings / "class00" / "bad\n- fake.png").write_bytes(b"nothing")
    (warning,) = (w for w in said(drawings) if "cannot be used" in w)
    assert r"class00/bad\n- fake.png (the first:" in warning
