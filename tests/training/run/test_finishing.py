"""The projection that tells the classes trained on apart."""

import numpy as np
import pytest
import torch
import yaml

from model_store.network import SiameseNetwork
from tests import tiny
from tests.training.drawings import SMALL_RECIPE, draw_folder, fit_words, fitting_place, with_recipe
from tests.training.rows import rows_of_classes
from training.cli import main
from training.data.opening import open_data
from training.data.pixels import load_pixels
from training.data.training_set import TrainingSet
from training.errors import RecipeError
from training.initialise.whitening import class_means, fit_whitening
from training.recipe.files import parse_recipe
from training.run.finishing import discriminant, finish

pytestmark = pytest.mark.usefixtures("undrawn")


class TestDiscriminant:
    def test_two_classes_are_told_apart_along_one_direction_alone(self):
        features, labels = rows_of_classes(2)
        found = fit_whitening(features, labels)
        rows = (features - found.mean) @ discriminant(found, features, labels).T
        white = found(features)
        axis = white[labels == 1].mean(0) - white[labels == 0].mean(0)
        axis = axis / axis.norm()
        wanted = (white @ axis)[:, None] * axis
        assert rows.numpy() == pytest.approx(wanted.numpy(), abs=1e-9)

    def test_it_keeps_what_the_means_differ_by_and_no_more(self):
        features, labels = rows_of_classes(3)
        found = fit_whitening(features, labels)
        matrix = discriminant(found, features, labels)
        assert int(torch.linalg.matrix_rank(matrix)) == 2
        before = class_means(found(features), labels)
        after = class_means((features - found.mean) @ matrix.T, labels)
        assert torch.pdist(after).numpy() == pytest.approx(torch.pdist(before).numpy())


@pytest.mark.parametrize("kind", ["discriminant", "whitening"])
@pytest.mark.parametrize("norm", [True, False])
def test_a_network_computes_what_its_features_times_the_matrix_are(tmp_path, norm, kind):
    content = yaml.safe_load(SMALL_RECIPE)
    content["network"]["branches"][0]["batch_norm"] = norm
    recipe = parse_recipe(content, "small")
    folder = open_data(draw_folder(tmp_path / "d", classes=6, images=4)).whole
    pixels = load_pixels(folder, recipe.preprocessing, budget=1 << 30, workers=1)
    images = TrainingSet(pixels, turned_classes=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = SiameseNetwork(recipe.network, recipe.preprocessing)
        if norm:
            for tensor in network.branches[0].projection[1].state_dict().values():
                if tensor.is_floating_point():
                    tensor.uniform_(0.5, 1.5)
    batch = images.images(np.arange(24))
    with torch.inference_mode():
        before = network.eval().features(batch).double()
    backbone = {k: v.clone() for k, v in network.branches[0].backbone.state_dict().items()}
    told = finish(
        network,
        images,
        projection=kind,
        mirrored=False,
        seed=0,
        device=torch.device("cpu"),
        on_progress=lambda _: None,
    )
    assert "6 classes" in told
    assert "by 24 training images (" in told
    labels = torch.from_numpy(images.table.labels)
    found = fit_whitening(before, labels)
    wanted = found(before)
    if kind == "discriminant":
        wanted = (before - found.mean) @ discriminant(found, before, labels).T
    with torch.inference_mode():
        after = network.eval().features(batch)
    assert after.numpy() == pytest.approx(wanted.numpy(), rel=1e-3, abs=2e-3)
    for name, tensor in network.branches[0].backbone.state_dict().items():
        assert torch.equal(tensor, backbone[name])


def test_an_image_is_done_once_its_mirror_image_is(tmp_path):
    recipe = parse_recipe(yaml.safe_load(SMALL_RECIPE), "small")
    folder = open_data(draw_folder(tmp_path / "d", classes=6, images=4)).whole
    pixels = load_pixels(folder, recipe.preprocessing, budget=1 << 30, workers=1)
    told: list[int] = []
    finish(
        tiny.seeded(recipe.network, recipe.preprocessing),
        TrainingSet(pixels, turned_classes=False),
        projection="whitening",
        mirrored=True,
        seed=0,
        device=torch.device("cpu"),
        on_progress=told.append,
    )
    assert told == [12, 24]


def test_a_run_ends_with_it(tmp_path, capsys):
    place = fitting_place(tmp_path, classes=8, images=4)
    settings = ("max_steps=2", "finish.projection=discriminant", "data.turned_classes=false")
    assert main([*fit_words(place, tmp_path / "s"), *with_recipe(place, *settings)]) == 0
    assert "classes apart" in capsys.readouterr().err


def test_a_run_can_end_with_a_whitening(tmp_path, capsys):
    place = fitting_place(tmp_path, classes=8, images=4)
    settings = ("max_steps=2", "finish.projection=whitening", "data.turned_classes=false")
    assert main([*fit_words(place, tmp_path / "s"), *with_recipe(place, *settings)]) == 0
    said = capsys.readouterr().err
    assert "projection whitened within" in said


@pytest.mark.parametrize("kind", ["discriminant", "whitening"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"validation": {"keep": "best"}}, "keep=last"),
        ({"two": True}, "one branch"),
        ({"hidden": [8]}, "hidden"),
    ],
)
def test_a_finish_that_cannot_be_is_refused(change, said, kind):
    content = yaml.safe_load(SMALL_RECIPE)
    content["finish"] = {"projection": kind}
    if "two" in change:
        content["network"]["branches"] *= 2
    elif "hidden" in change:
        content["network"]["branches"][0] |= change
    else:
        content |= change
    with pytest.raises(RecipeError, match=said):
        parse_recipe(content, "small")
