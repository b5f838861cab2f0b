"""`fit --dry-run`: what it says is what a fit would do, and nothing is left but a picture."""

import copy
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.drawings import fit_words, fitting_place, with_recipe
from tests.training.small import network
from training.cli import main
from training.data.batch import Batch
from training.data.opening import open_data
from training.dry_run.footprint import activation_bytes, footprint
from training.dry_run.layers import layers
from training.dry_run.picture import batch_png
from training.learning.learner import Learner
from training.learning.timing import StepTime
from training.progress import duration
from training.recipe.files import load_recipe

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return fitting_place(tmp_path_factory.mktemp("dry"), classes=10, images=4)


@pytest.fixture
def fit(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*further: str) -> tuple[int, str, str]:
        status = main([*fit_words(place, tmp_path / "store"), *with_recipe(place), *further])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_it_tells_all_and_keeps_nothing(fit, tmp_path):
    status, said, warned = fit("--dry-run")
    assert status == 0
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert "optimiser.learning_rate 0.05" in lines
    assert "network.branches.0.options.widths [8, 16]" in lines
    assert "guard.action stop" in lines
    assert any(line.startswith("training 24 images of 6 classes") for line in lines)
    assert any(line.startswith("validation 8 images of 2 classes") for line in lines)
    assert "input 32 x 32 x 1" in lines
    assert "embedding 16" in lines
    assert "steps 12 (2.0 epochs)" in lines
    assert "validated after 6, 12" in lines
    assert any(line.startswith("activations of a batch of 8 images x 2 side") for line in lines)
    assert "21,384 parameters" in said
    assert "warning: 12 step(s)" in warned
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dry-run.png"]
    with Image.open(tmp_path / "dry-run.png") as picture:
        assert picture.format == "PNG"


def test_the_picture_goes_where_it_is_told_to(fit, tmp_path):
    assert fit("--dry-run", str(tmp_path / "batch of pairs.png"))[0] == 0
    assert (tmp_path / "batch of pairs.png").is_file()
    status, _, told = fit("--dry-run", str(tmp_path / "nowhere" / "x.png"))
    assert status == 1
    assert "give --dry-run a file in a folder that exists" in told


def test_what_is_frozen_does_not_learn(fit):
    said = fit("--dry-run", "--set", "freeze.backbone_epochs=all")[1]
    backbone = sum(p.numel() for p in network().branches[0].backbone.parameters())
    whole = 21_384
    assert f"{whole:,} parameters, {whole - backbone:,} of which learn" in said


def test_a_recipe_without_steps_is_rehearsed_without_any(fit, tmp_path):
    status, said, _ = fit("--dry-run", "--set", "max_steps=0")
    assert status == 0
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert "steps 0: the weights stay as they are at the start" in lines
    assert "21,384 parameters, 0 of which learn" in said
    assert "gradients 0.0" in lines
    assert (tmp_path / "dry-run.png").is_file()


def test_trainings_for_calibration_are_counted(fit):
    status, said, _ = fit("--dry-run", "--set", "calibration.folds=4")
    assert status == 0
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert any(line.startswith("for calibration 4 more trainings, up to") for line in lines)
    assert any(line.startswith("all trainings up to") for line in lines)
    assert "all trainings" not in fit("--dry-run")[1]


def test_of_several_processes_one_takes_its_share_of_a_step(fit, monkeypatch):
    def timed(learner, steps):
        assert [len(makings) for makings in steps] == [1] * len(steps)
        return StepTime(seconds=60.0, images=1)

    monkeypatch.setattr("training.dry_run.rehearsal.time_of_a_step", timed)
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    status, said, _ = fit("--dry-run", "--set", "calibration.folds=4")
    assert status == 0
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert f"all steps {duration(12 * 60)}, without reading and judging images" in lines
    # Those for calibration are trained by the first process alone.
    assert f"for calibration 4 more trainings, up to {duration(4 * 24 * 60)}" in lines


WHITENED = "start={projection: whitening}"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--set", "loss.name=contrastive"], "balanced-pairs"),
        (["--name", "My Model"], "lower-case letters"),
        (["--name", "m" * 60, "--set", "validation.keep=every"], "1 to 63 lower-case letters"),
        (["--set", WHITENED, "--set", "network.branches.0.projection=9000"], "as many at most"),
    ],
)
def test_what_fit_refuses_is_refused(fit, tmp_path, words, why):
    status, _, told = fit("--dry-run", *words)
    assert status == 1
    assert why in told
    assert not (tmp_path / "store").exists()


def test_a_projection_too_wide_to_whiten_is_refused_before_images_are_read(fit):
    status, _, told = fit("--set", WHITENED, "--set", "network.branches.0.projection=9000")
    assert status == 1
    assert "network.branches.0.projection=" in told
    assert "images:" not in told


@pytest.mark.usefixtures("undrawn")
def test_a_fit_shows_its_recipe_first(fit):
    told = fit("--set", "max_steps=1")[2]
    assert told.index("recipe 'small'") < told.index("training 'm'")
    assert "cosine-softmax margin_warm_up=0.5" in told


def test_layers_are_those_that_the_network_goes_through():
    net = network("absolute-difference-sigmoid")
    found = layers(net, torch.zeros(3, 32, 32, 1, dtype=torch.uint8))
    by_name = {layer.name: layer for layer in found}
    assert by_name["input"].shape == (32, 32, 1)
    assert by_name["embedding"].shape == (8,)
    assert by_name["score"].shape == ()
    assert by_name["projection.0"].parameters == sum(
        p.numel() for p in net.branches[0].projection[0].parameters()
    )
    assert sum(layer.parameters for layer in found) == sum(p.numel() for p in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


def test_both_branches_are_listed():
    found = layers(network("euclidean", sides=2), torch.zeros(2, 32, 32, 1, dtype=torch.uint8))
    assert {"left input", "right embedding"} <= {layer.name for layer in found}


class TestMemory:
    @pytest.fixture
    def learner(self, place) -> Learner:
        return Learner(load_recipe(str(place / "small.yaml"), ["batches_per_step=1"]), 5, CPU)

    def making(self, images: int = 6):
        labels = torch.arange(images) % 5
        pixels = torch.zeros(images, 32, 32, 1, dtype=torch.uint8)
        return lambda: Batch(pixels, labels, torch.zeros_like(labels), progress=0.5)

    def test_weights_gradients_and_momentum(self, learner):
        learner.step([self.making()], 0, 0.5)
        found = footprint(learner, 100, 1000)
        learnt = 4 * sum(
            parameter.numel()
            for module in (learner.network, learner.loss)
            for parameter in module.parameters()
        )
        assert found.gradients == found.optimiser == learnt
        assert found.weights > learnt + 4 * 20_000, "the running mean counts too"
        assert found.total == found.weights + 2 * learnt + 1100

    @pytest.mark.usefixtures("two_threads")
    def test_gradients_of_several_batches_count_with_their_sum(self, place):
        recipe = load_recipe(str(place / "small.yaml"), ["batches_per_step=3"])
        learner = Learner(recipe, 5, CPU)
        learner.step([self.making()] * 3, 0, 0.5)
        found = footprint(learner, 0, 0)
        assert learner.side_by_side == 2
        assert found.gradients == 3 * found.optimiser

    def test_activations_grow_with_the_batch(self, learner):
        images = torch.zeros(16, 32, 32, 1, dtype=torch.uint8)
        eight, sixteen = (activation_bytes(learner, images[:n]) for n in (8, 16))
        assert sixteen == 2 * eight
        # at least what the first convolution is given and gives: 1 and 8 maps
        assert eight >= 8 * 4 * (32 * 32 + 8 * 16 * 16)

    def test_activations_of_one_linear_layer_by_hand(self, learner):
        """An input of 64 values an image, kept once; weights are not activations."""
        branch = copy.deepcopy(learner.network.branches[0])
        branch.backbone, branch.pooling = torch.nn.Flatten(), torch.nn.Identity()
        branch.projection = torch.nn.Sequential(torch.nn.Linear(32 * 32, 5))
        branch.normalise = False
        learner.network.branches[0] = branch
        images = torch.zeros(4, 32, 32, 1, dtype=torch.uint8)
        assert activation_bytes(learner, images) == 4 * 4 * 32 * 32


class TestPicture:
    def opened(self, batch: Batch) -> Image.Image:
        return Image.open(io.BytesIO(batch_png(batch))).convert("RGB")

    def test_pairs_are_framed_by_what_they_are(self):
        images = torch.stack([torch.full((8, 8, 1), value) for value in (0.0, 255.0)])
        labels = torch.tensor([0, 1])
        pairs, same = torch.tensor([[0, 0], [0, 1]]), torch.tensor([1.0, 0.0])
        sheet = self.opened(Batch(images, labels, labels * 0, pairs, same))
        assert sheet.size == (2 * 96 + 12, 2 * 108)
        assert sheet.getpixel((2, 50)) == (0x1A, 0x98, 0x50)
        assert sheet.getpixel((2, 158)) == (0xD7, 0x30, 0x27)
        assert sheet.getpixel((50, 158)) == (0, 0, 0)
        assert sheet.getpixel((150, 158)) == (255, 255, 255)

    def test_images_of_a_class_stand_together(self):
        colours = torch.tensor([[255.0, 0, 0], [0, 255, 0], [0, 0, 255]])
        images = colours[:, None, None].expand(3, 8, 8, 3)
        sheet = self.opened(Batch(images, torch.tensor([2, 0, 1]), torch.zeros(3)))
        assert [sheet.getpixel((50, 54 + 108 * n)) for n in range(3)] == [
            (0, 255, 0),
            (0, 0, 255),
            (255, 0, 0),
        ]

    @pytest.mark.parametrize("size", [(24, 8), (8, 24), (300, 100)])
    def test_what_is_not_square_keeps_its_shape(self, size):
        images = torch.zeros(1, *size, 1)
        sheet = self.opened(Batch(images, torch.tensor([0]), torch.zeros(1)))
        black = np.argwhere((np.asarray(sheet) == 0).all(axis=-1))
        high, wide = black.max(axis=0) - black.min(axis=0) + 1
        assert (high, wide) == ((96, 32) if size[0] > size[1] else (32, 96))
        assert len(black) == high * wide
        # In the middle of its place.
        assert (black.max(axis=0) + black.min(axis=0)).tolist() == [107, 107]

    def test_a_large_batch_shows_a_part(self):
        images = torch.zeros(500, 8, 8, 1, dtype=torch.uint8)
        sheet = self.opened(Batch(images, torch.arange(500), torch.zeros(500)))
        assert sheet.size == (8 * 108, 8 * 108)


def test_real_data_can_be_rehearsed(data, tmp_path, capsys):
    faces = data / "orl_faces" / "orl_faces.zip"
    assert len(open_data(faces).whole.classes) == 35
    picture = tmp_path / "faces.png"
    words = ["fit", "--data", str(faces), "--name", "faces", "--store", str(tmp_path / "s")]
    words += ["--recipe", "images", "--device", "cpu", "--set", "batch=4", "--dry-run"]
    assert main([*words, str(picture)]) == 0
    assert picture.is_file()
    assert "350 images" not in capsys.readouterr().out
