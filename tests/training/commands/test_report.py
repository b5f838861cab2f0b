"""`python -m training report`, from a model to a page."""

import shutil

import pytest

from model_store.manifest import Provenance
from model_store.shipped import SHIPPED
from model_store.store import ModelStore
from tests.training import small
from tests.training.commands.reports import NAMES, filled, made, pictures
from tests.training.drawings import write_recipe
from tests.training.trees import grown, pngs
from training.cli import main
from training.data.opening import open_data
from training.data.parts import open_sources
from training.data.split import split_classes, split_holdout
from training.evaluation.embedding import embed_folder
from training.history import to_csv
from training.recipe.files import load_recipe


@pytest.fixture
def place(tmp_path):
    return filled(tmp_path)


def test_without_data_what_lies_beside_the_model_is_shown(place, capsys):
    reader = made(place, "rich", drawn=True)
    assert "A <b>model</b>" in reader.text
    assert "Too few <classes>" in reader.text
    assert "both branches start from the same weights" in reader.text
    assert "a/<i>.png: not an image" in reader.text
    assert pictures(reader) == ["Loss, learning rate and validation errors over the steps"]
    command = "python -m training report rich --data DIR"
    assert command in reader.text
    # Whoever reads the page may have the model elsewhere; the console knows where it is.
    assert f"{command} --store {place / 'store'}\n" in capsys.readouterr().out


def test_a_model_with_nothing_beside_it_has_a_report_too(place):
    reader = made(place, "bare")
    assert pictures(reader) == []
    for missing in ("No card", "No split", "No history", "No report on start weights"):
        assert missing in reader.text


def test_a_model_that_took_no_step_is_not_called_one_without_a_history(place):
    ModelStore(place / "store").save(
        "untrained", small.network("cosine"), files={"history.csv": to_csv(())}
    )
    reader = made(place, "untrained")
    assert "took no step of training" in reader.text
    assert "No history" not in reader.text


def test_images_of_another_kind_are_counted_and_shown(place):
    shutil.copytree(SHIPPED / "glyphs", place / "store" / "glyphs")
    reader = made(place, "glyphs")
    assert "Typicality is the share" in reader.text
    reader = made(place, "glyphs", "--data", place / "images", "--classes", "all")
    store = ModelStore(place / "store")
    checkpoint = store.load("glyphs")
    embedded = embed_folder(checkpoint.network, open_data(place / "images").whole)
    found = embedded.typicality(checkpoint.typicality)
    passed = int((found >= checkpoint.typicality.level).sum())
    assert f"Of the 24 images here {passed} are in distribution" in reader.text
    assert "least typical of the model's kind" in " ".join(pictures(reader))


def test_two_sides_other_data_and_a_sample(place):
    words = ("--data", place / "images", "--max-images", 8, "--seed", 1)
    reader = made(place, "bare", *words, drawn=True)
    assert "images, all classes: 6 images of 2 classes" in reader.text
    assert "a sample of 24 images of 8 classes" in reader.text
    assert "measured for this report" in " ".join(pictures(reader))
    assert "The model is not calibrated" in reader.text


def test_classes_trained_on_and_spoilt_images_are_warned_of(place):
    (place / "images" / NAMES[0]).write_bytes(b"spoilt")
    reader = made(place, "rich", "--data", place / "images", "--classes", "all")
    assert "names that the model was trained on" in reader.text
    assert f"the first: {NAMES[0]}" in reader.text
    # Those images are no longer the ones that the split was made of.
    assert "Not shown: images of the classes of train, validation and calibration" in reader.text


def test_the_images_are_found_where_fit_had_them(place, monkeypatch):
    monkeypatch.chdir(place)
    from training.report.located import locate

    split = split_classes(open_data(place / "images").whole, validation=0.25, calibration=0, seed=0)
    command = "python -m training fit --data images --name rich"
    assert [part.title for part in locate(split, command, None).parts] == [
        "train classes",
        "validation classes",
    ]
    assert "Not shown" in locate(split, command.replace("images", "gone"), None).note
    assert "Not shown" in locate(split, "an 'unclosed quote", None).note
    # Of this path, as of one in a folder that may not be entered, nothing can be asked at all.
    unaskable = command.replace("images", "i" * 300)
    assert "Not shown" in locate(split, unaskable, None).note
    assert locate(None, command, None).parts == ()


def test_a_spoilt_file_beside_the_model_is_a_warning(place):
    folder = ModelStore(place / "store").find("rich").path
    for name in ("split.json", "history.csv", "start.json", "curves.png", "warnings.json"):
        (folder / name).write_bytes(b"spoilt \xff")
    reader = made(place, "rich")
    for name in ("Split.json", "History.csv", "Start.json", "Curves.png", "Warnings.json"):
        assert f"{name} beside the checkpoint cannot be read" in reader.text


def test_a_file_that_cannot_be_written_is_told_before_any_work(place, capsys):
    command = ["report", "rich", "--store", str(place / "store"), "--data", str(place / "images")]
    for out in (place / "nowhere" / "x.html", place):
        assert main([*command, "--out", str(out)]) == 1
        assert "a file in a folder that exists" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--gallery", "--right"])
def test_what_images_are_compared_with_alone_is_refused(place, capsys, option):
    command = ["report", "rich", "--store", str(place / "store"), option, str(place)]
    assert main(command) == 1
    assert f"{option} needs --data" in capsys.readouterr().err


def save_crossed(place, **further: object) -> None:
    """A model by whose recipe pairs of all classes had calibrated, and what else that says."""
    folder = open_data(place / "images").whole
    split = split_classes(folder, validation=0.25, calibration=0, seed=0, crossed=True)
    recipe = load_recipe(str(write_recipe(place / "r.yaml")), ["max_steps=0"])
    ModelStore(place / "store").save(
        "wholly",
        small.network("euclidean"),
        files={"split.json": split.to_json()},
        provenance=Provenance(recipe={**recipe.model_dump(mode="json"), **further}),
    )


def test_a_gallery_is_looked_into_though_pairs_of_all_classes_had_calibrated(place):
    save_crossed(place)
    gallery = grown(place / "gallery", pngs(name.replace("/0.", "/9.") for name in NAMES[::3]))
    reader = made(place, "wholly", "--data", place / "images", "--gallery", gallery)
    assert "; gallery gallery: 8 images of 8 classes" in reader.text


def test_where_all_classes_had_calibrated_it_is_told_that_no_sample_is_taken(place, capsys):
    save_crossed(place)
    told = "24 images are measured, those that fit calibrated by; --classes all takes a sample"
    reader = made(place, "wholly", "--data", place / "images", "--max-images", 8)
    assert "fitted to others: 24 images of 8 classes" in reader.text
    assert told in capsys.readouterr().err


def test_pairs_are_not_crossed_by_a_recipe_of_a_newer_version(place):
    save_crossed(place, of_later=1)
    reader = made(place, "wholly", "--data", place / "images")
    assert "images, all classes: 24 images of 8 classes" in reader.text
    assert "cannot repeat" in reader.text
    assert "of_later: no such key" in reader.text


def test_without_classes_that_validate_all_are_measured(place):
    folder = open_data(place / "images").whole
    split = split_classes(folder, validation=0, calibration=0.25, seed=0)
    assert split.validation == ()
    ModelStore(place / "store").save(
        "unjudged", small.network("euclidean"), files={"split.json": split.to_json()}
    )
    reader = made(place, "unjudged", "--data", place / "images")
    assert "images, all classes: 24 images of 8 classes" in reader.text


class TestTwoSides:
    """A model that `fit` made of photos on the left and a shop's pictures on the right."""

    CLASSES = 8

    @pytest.fixture
    def shop(self, place):
        photos = [f"c{n}/{image}.png" for n in range(self.CLASSES) for image in range(3)]
        grown(place / "photos", pngs(photos))
        grown(place / "shop", pngs(f"c{n}/front.png" for n in range(self.CLASSES)))
        joined = open_sources(place / "photos", None, place / "shop").train
        split = split_classes(joined, validation=0.25, calibration=0.25, seed=0)
        command = f"python -m training fit --data photos --right {place / 'shop'} --name two"
        ModelStore(place / "store").save(
            "two",
            small.network("euclidean", sides=2),
            provenance=Provenance(command=command),
            files={"split.json": split.to_json()},
        )
        return place

    def test_both_are_opened_as_fit_opened_them(self, shop):
        sides = ("--data", shop / "photos", "--right", shop / "shop")
        reader = made(shop, "two", *sides, drawn=True)
        wanted = "photos, validation classes: 6 images of 2 classes; right shop: 2 images of 2"
        assert wanted in reader.text
        assert "names that the model was trained on" not in reader.text
        for part in ("validation classes", "measured for this report"):
            assert f"{part}, left62" in reader.text
            assert f"{part}, right22" in reader.text
        # Each of six photos with the one picture of its class, and none with one another.
        assert "genuine pairs6" in reader.text
        assert "impostor pairs6" in reader.text
        shown = " | ".join(pictures(reader))
        for what in ("train classes", "validation classes", "calibration classes"):
            assert what in shown

    def test_one_alone_is_measured_and_told_of(self, shop):
        reader = made(shop, "two", "--data", shop / "photos")
        assert "made for images of --data against those of --right (shop)" in reader.text
        assert "report two --data DIR --right DIR" in made(shop, "two").text

    def test_of_two_the_left_one_is_sampled(self, shop):
        sides = ("--data", shop / "photos", "--right", shop / "shop")
        reader = made(shop, "two", *sides, "--classes", "all", "--max-images", 8)
        assert "6 images of 2 classes (a sample of 24 images of 8 classes)" in reader.text
        assert f"right shop: {self.CLASSES} images of {self.CLASSES} classes" in reader.text
        assert "recall at 1 flatters" not in reader.text
        # Half of the eight are, and neither of the two.
        assert "names that the model was trained on" not in reader.text

    def test_a_gallery_is_another_thing(self, shop, capsys):
        words = ["report", "two", "--data", "photos", "--gallery", "shop", "--right", "shop"]
        with pytest.raises(SystemExit):
            main(words)
        assert "not allowed with" in capsys.readouterr().err


def test_classes_that_the_model_knows_are_not_said_to_be_new_to_it(place):
    whole = open_data(place / "images").whole
    store = ModelStore(place / "store")
    for name, split, told in (
        ("new", split_classes(whole, validation=0.25, calibration=0.25, seed=0), None),
        ("by-image", split_holdout(whole, whole, seed=0), "the data came split by image"),
    ):
        started = split.model_copy(update={"start_learnt": split.validation})
        for model, kept, words in (
            (name, split, told),
            (f"{name}-started", started, "have names that the model it starts from was trained on"),
        ):
            store.save(model, small.network("cosine"), files={"split.json": kept.to_json()})
            text = made(place, model).text
            assert ("it has not learnt from" in text) == (words is None)
            assert words is None or words in text
