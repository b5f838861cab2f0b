import io

import yaml
from PIL import Image

from tests.training.drawings import SMALL_RECIPE, draw_folder
from tests.training.trees import grown, png, pngs, whole
from training.data.parts import Parts, open_sources
from training.fit import duplicates
from training.fit.duplicates import search
from training.progress import Reporter
from training.recipe.files import parse_recipe


def test_one_file_under_two_class_names(said, drawings, by_name):
    one, two = by_name("train")[:2]
    (drawings / two / "copy.png").write_bytes((drawings / one / "00.png").read_bytes())
    (told,) = said(drawings)
    assert "1 file(s) are under two class names" in told
    assert f"{one}/00.png" in told
    assert f"{two}/copy.png" in told


def test_one_file_in_two_parts(said, drawings, by_name):
    train, validation = by_name("train")[0], by_name("validation")[0]
    (drawings / validation / "c.png").write_bytes((drawings / train / "00.png").read_bytes())
    told = said(drawings)
    assert len(told) == 2
    assert f"{train}/00.png (training) = {validation}/c.png (validation)" in told[1]
    assert "flatter" in told[1]


def test_one_file_on_both_sides(tmp_path):
    """Paired with itself, it has the best score there is."""
    files = pngs(["a/1.png", "a/2.png", "b/1.png", "b/2.png"])
    photos = grown(tmp_path / "photos", files)
    shop = grown(tmp_path / "shop", {"a/x.png": files["a/1.png"], "b/x.png": png(9)})
    parts = Parts(open_sources(photos, None, shop).train, None, None)
    recipe = parse_recipe(yaml.safe_load(SMALL_RECIPE), "small")
    (told,) = search(parts, recipe, Reporter(io.StringIO())).warnings
    assert told.startswith("1 file(s) are on both sides")
    assert "left/a/1.png (training) = right/a/x.png (training); take one" in told


def test_of_many_pictures_that_look_the_same_all_are_counted_and_a_few_named(
    said, drawings, by_name
):
    train, calibration = by_name("train")[0], by_name("calibration")[0]
    with Image.open(drawings / train / "00.png") as image:
        larger = image.resize((64, 64), Image.Resampling.BICUBIC)
        larger.save(drawings / train / "large.png")
        for quality in (83, 85, 87, 90, 93):
            larger.save(drawings / calibration / f"again{quality}.jpg", quality=quality)
    (told,) = said(drawings)
    assert "2 training image(s) look the same as 5 calibration image(s)" in told
    assert f"{train}/00.png and {calibration}/again83.jpg" in told
    assert "and 7 more" in told


def test_one_picture_encoded_anew_at_another_size(said, drawings, by_name):
    train, calibration = by_name("train")[0], by_name("calibration")[0]
    with Image.open(drawings / train / "00.png") as image:
        larger = image.resize((64, 64), Image.Resampling.BICUBIC)
        larger.save(drawings / calibration / "again.jpg", quality=85)
    (told,) = said(drawings)
    assert "1 training image(s) look the same as 1 calibration image(s)" in told
    assert f"{train}/00.png and {calibration}/again.jpg" in told


def test_classes_of_the_same_name_that_share_a_file(said, tmp_path):
    data = tmp_path / "both"
    draw_folder(data / "train", classes=11, images=5)
    draw_folder(data / "val", classes=11, images=5)
    told = said(data)
    assert len(told) == 1
    assert told[0].startswith("55 file(s) are both among what is trained on and what judges")
    assert "and 52 more" in told[0]


def test_too_many_to_look_at_are_sampled_and_that_is_said(said, drawings, monkeypatch):
    monkeypatch.setattr("training.fit.duplicates.MOST_LOOKED_AT", 30)
    told = said(drawings)
    assert any("among 30 of 50 training images only" in text for text in told)


def test_which_of_too_many_are_looked_at_is_drawn_by_the_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(duplicates, "MOST_LOOKED_AT", 5)
    folder = whole(grown(tmp_path, pngs(f"c{n:02}/1.png" for n in range(40))))
    first, again, other = (duplicates._some(folder, seed) for seed in (0, 0, 1))
    assert first == again == sorted(set(first))
    assert len(first) == 5
    assert first != other


def test_images_of_any_part_that_cannot_be_read_are_found(tmp_path):
    folder = whole(grown(tmp_path, pngs(f"c{c}/{i}.png" for c in range(6) for i in "ab")))
    for number in (0, 2, 4):
        (tmp_path / f"c{number}" / "a.png").write_bytes(b"no image")
    parts = Parts(*(folder.subset(labels) for labels in ([0, 1], [2, 3], [4, 5])))
    recipe = parse_recipe(yaml.safe_load(SMALL_RECIPE), "small")
    found = search(parts, recipe, Reporter(io.StringIO()))
    unusable = found.unusable
    for entries, key in (
        (unusable.train, "c0/a.png"),
        (unusable.validation, "c2/a.png"),
        (unusable.calibration, "c4/a.png"),
    ):
        assert [entry.key for entry in entries] == [key]
