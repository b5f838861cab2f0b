"""Networks trained over again, so that all classes calibrate."""

import errno
import io
import os
import shutil
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from model_store import ModelStore
from model_store.files import replace_file
from model_store.network import SiameseNetwork
from tests.training.drawings import draw_folder, fit_words, fitting_place, leave_one, with_recipe
from tests.training.scored import scored
from training import retraining
from training.calibration.making import distribution_of
from training.cli import main
from training.data.opening import open_data
from training.data.parts import Parts
from training.data.split import Split, deal_classes, split_classes
from training.errors import RecipeError
from training.evaluation.embedding import embed_folder
from training.evaluation.pairs import score_folder
from training.recipe.files import load_recipe
from training.run.folder import Run
from training.run.session import Session

pytestmark = pytest.mark.usefixtures("undrawn")

FOLDS = ("calibration.folds=3",)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return fitting_place(tmp_path_factory.mktemp("retraining"), classes=12, images=4)


@pytest.fixture
def fit(place, tmp_path):
    def run(*values: str, more: tuple[str, ...] = (), recipe: bool = True) -> int:
        words = fit_words(place, tmp_path / "store")
        return main([*words, *(with_recipe(place, *values) if recipe else ()), *more])

    return run


@dataclass(frozen=True)
class Straight:
    """A run that nothing interrupted."""

    store: ModelStore
    networks: list[SiameseNetwork]
    told: str


def fitted_straight(place: Path, root: Path, *values: str) -> Straight:
    store = ModelStore(root)
    networks: list[SiameseNetwork] = []
    stored, said = retraining.as_stored, io.StringIO()

    def kept(network: SiameseNetwork, dtype: str) -> SiameseNetwork:
        networks.append(stored(network, dtype))
        return networks[-1]

    with pytest.MonkeyPatch.context() as patch, redirect_stderr(said):
        patch.setattr(retraining, "as_stored", kept)
        assert main([*fit_words(place, store.root), *with_recipe(place, *FOLDS, *values)]) == 0
    return Straight(store, networks, said.getvalue())


@pytest.fixture(scope="module")
def straight(place, tmp_path_factory) -> Straight:
    return fitted_straight(place, tmp_path_factory.mktemp("straight") / "store")


@pytest.fixture
def rest(place, tmp_path) -> Path:
    """The folder without the classes of the second part."""
    names = deal_classes(open_data(place / "data").whole, 3, 0)[1]
    rest = shutil.copytree(place / "data", tmp_path / "rest")
    for name in names:
        shutil.rmtree(rest / name)
    return rest


def same_weights(network: SiameseNetwork, other: SiameseNetwork) -> bool:
    own = other.state_dict()
    return all(torch.equal(tensor, own[name]) for name, tensor in network.state_dict().items())


def test_all_classes_calibrate_by_networks_that_have_not_seen_them(straight, place, rest):
    assert "training 2 of 3 for calibration: without 4 of 12 classes" in straight.told
    store = straight.store
    checkpoint = store.load("m")
    split = Split.from_json((checkpoint.path / "split.json").read_bytes())
    assert split.crossed
    assert (len(split.train), len(split.validation), split.calibration) == (9, 3, ())
    assert checkpoint.manifest.calibration.classes == 12
    assert checkpoint.manifest.calibration.impostor_pairs == 3 * 6 * 16, "within parts of four"
    assert checkpoint.manifest.evaluations[0].figures["classes"] == 12
    assert not (store.root / ".runs" / "m").exists()
    # The second of them is what a training on a folder without those classes gives.
    alone = ("split.validation=0", "split.calibration=0", "validation.times=0")
    words = ["fit", "--data", str(rest), "--name", "rest", "--store", str(store.root)]
    assert main([*words, "--device", "cpu", *with_recipe(place, *alone)]) == 0
    assert same_weights(straight.networks[1], store.load("rest").network)


@pytest.mark.parametrize(
    "values",
    [("validation.keep=best",), ("validation.patience=1", "validation.times=4")],
    ids=["best", "out of patience"],
)
def test_they_end_at_the_step_of_the_weights_that_ship_in_the_midst_of_the_whole_schedule(
    place, rest, tmp_path, values
):
    # Its validations after 6 steps and 12, or every three, have the same equal error rate.
    found = fitted_straight(place, tmp_path / "store", *values, "freeze.backbone_epochs=0.36")
    assert "up to step 6, whose weights ship" in found.told
    # Epochs are 9 steps, so that the first four are frozen; of the rest of the classes they are 8.
    frozen = "freeze.backbone_epochs=0.45"
    draw_folder(tmp_path / "other", classes=4, images=3, seed=5)
    words = ["fit", "--data", str(rest), "--name", "rest", "--store", str(tmp_path / "store")]
    words += ["--holdout", str(tmp_path / "other"), "--device", "cpu"]
    assert main([*words, *with_recipe(place, "validation.keep=every", frozen)]) == 0
    assert same_weights(found.networks[1], found.store.load("rest-step6").network)
    assert not same_weights(found.networks[1], found.store.load("rest").network)


def test_where_the_weights_it_starts_from_ship_they_take_no_step(place, rest, tmp_path):
    best = ("validation.keep=best", "validation.first=true")
    found = fitted_straight(place, tmp_path / "store", *best)
    assert "the first 0 of 12 steps" in found.told
    assert "up to that step too" in (found.store.load("m").path / "card.md").read_text()
    alone = ("split.validation=0", "split.calibration=0", "max_steps=0")
    words = ["fit", "--data", str(rest), "--name", "rest", "--store", str(tmp_path / "store")]
    assert main([*words, "--device", "cpu", *with_recipe(place, *alone)]) == 0
    assert same_weights(found.networks[1], found.store.load("rest").network)


def test_each_pair_has_the_score_of_the_network_trained_without_its_classes(straight, place):
    folder = open_data(place / "data").whole
    genuine, impostor = [], []
    for names, network in zip(deal_classes(folder, 3, 0), straight.networks, strict=True):
        labels = [label for label, entry in enumerate(folder.classes) if entry.name in names]
        pairs = score_folder(network, embed_folder(network, folder)).within(np.array(labels))
        genuine += pairs.genuine.tolist()
        impostor += pairs.impostor.tolist()
    calibration = straight.store.manifest("m").calibration
    by_hand = scored(genuine, impostor, metric=pairs.metric)
    assert calibration.distribution == distribution_of(by_hand)
    reached = sum(score <= calibration.threshold for score in impostor)
    assert calibration.far == reached / len(impostor)


def test_a_network_of_two_branches_is_refused(place):
    recipe = load_recipe("pseudo-siamese", ["calibration.folds=3"])
    parts = Parts(open_data(place / "data").whole, None, None)
    with pytest.raises(RecipeError, match="one branch"):
        retraining.check_folds(parts, recipe, ModelStore(place / "store"), held_out=False)


def test_what_is_interrupted_between_them_goes_on_and_comes_to_the_same(
    fit, store, straight, monkeypatch, capsys
):
    trained = []

    class Interrupted(Session):
        def train(self):
            if len(trained) == 1:
                raise KeyboardInterrupt
            trained.append(self)
            return super().train()

    with monkeypatch.context() as patch:
        patch.setattr(retraining, "Session", Interrupted)
        assert fit(*FOLDS) == 130
    assert "--resume" in capsys.readouterr().err
    assert store.models() == []
    assert fit(recipe=False, more=("--resume",)) == 0
    told = capsys.readouterr().err
    assert told.count("going on after step 12") == 2, "the network that ships, and the first part"
    resumed, again = store.manifest("m"), straight.store.manifest("m")
    assert resumed.calibration == again.calibration
    assert resumed.weights.sha256 == again.weights.sha256


@pytest.mark.parametrize("written", ["recipe.yaml", "state.pt"])
def test_a_full_disk_in_one_of_them_does_not_cost_the_network_that_ships(
    fit, store, monkeypatch, capsys, written
):
    def full_below(path: Path, data: bytes) -> None:
        if "folds" in path.parts and path.name == written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace_file(path, data)

    with monkeypatch.context() as patch:
        patch.setattr("training.run.folder.replace_file", full_below)
        assert fit(*FOLDS) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert "No space left" in told
    assert told.endswith("then go on with --resume")
    assert fit(recipe=False, more=("--resume",)) == 0
    assert "going on after step 12" in capsys.readouterr().err
    assert store.manifest("m").calibration.classes == 12


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (("calibration.folds=1",), "2 folds or more"),
        (("calibration.folds=7",), "fewer than 2; ask for fewer"),
        ((*FOLDS, "validation.keep=both"), "keep to last or best"),
        ((*FOLDS, "start.backbone=mine.pth"), "cannot have seen these"),
    ],
    ids=["one", "too many", "two versions", "unknown weights"],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(fit, store, capsys, values, said):
    assert fit(*values) == 1
    told = capsys.readouterr().err
    assert said in told
    assert "training 'm'" not in told
    assert store.models() == []


def test_photos_are_paired_with_pictures_of_the_right_side_alone(place, tmp_path, store):
    draw_folder(tmp_path / "shop", classes=12, images=1)
    words = [*fit_words(place, store.root), "--right", str(tmp_path / "shop")]
    assert main([*words, *with_recipe(place, *FOLDS, "max_steps=2")]) == 0
    calibration = store.manifest("m").calibration
    assert calibration.genuine_pairs == 12 * 4
    assert calibration.impostor_pairs == 3 * 4 * 3 * 4, "within parts of four"
    assert "each pair of a left and a right image" in calibration.data


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_classes_that_cannot_validate_are_named_before_anything_is_trained(
    place, tmp_path, store, capsys, more, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    data = shutil.copytree(place / "data", tmp_path / "data")
    names = split_classes(open_data(data).whole, validation=0.25, calibration=0, seed=0).validation
    for name in names:
        leave_one(data / name)
    words = ["fit", "--data", str(data), "--name", "m", "--store", str(store.root)]
    assert main([*words, "--device", "cpu", *with_recipe(place, *FOLDS), *more]) == 1
    told = capsys.readouterr().err
    assert "not one of the 3 classes drawn for validation has two images" in told
    assert all(name in told for name in names)
    assert "training 'm'" not in told
    without = ("--set", "split.validation=0")
    assert "(--set split.validation=0)" in told
    assert main([*words, "--device", "cpu", *with_recipe(place, *FOLDS), *without, *more]) == 0


def test_classes_set_aside_are_not_dealt_again(fit, tmp_path, capsys):
    draw_folder(tmp_path / "other", classes=4, images=3, seed=5)
    assert fit(*FOLDS, more=("--holdout", str(tmp_path / "other"))) == 1
    assert "for classes that are not set aside" in capsys.readouterr().err


def test_where_nothing_is_trained_all_classes_calibrate_without(fit, store, capsys):
    closed = ("max_steps=0", "start.projection=whitening", "data.turned_classes=false")
    assert fit(*FOLDS, *closed, "network.branches.0.pooling=average") == 0
    assert "for calibration: without" not in capsys.readouterr().err
    assert store.manifest("m").calibration.classes == 12


def test_begun_anew_a_run_forgets_the_trainings_below_it(tmp_path):
    run = Run(tmp_path, "m")
    with run.locked():
        below = run.below("folds", "fold1")
        with below.locked():
            below.state.write_bytes(b"of the run before")
        run.state.write_bytes(b"likewise")
        run.clear()
        assert not run.resumable
        assert not below.resumable
    with run.locked():
        pass
