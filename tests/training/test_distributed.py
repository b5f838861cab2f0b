"""Several processes train as one: the same weights, and stopped, resumed and ended together."""

import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.service import free_port
from model_store import ModelStore
from model_store.network import SiameseNetwork
from tests import tiny
from tests.training.drawings import (
    SMALL_RECIPE,
    fit_words,
    fitting_place,
    with_recipe,
    write_recipe,
)
from training.cli import main
from training.data.augmentation import AUGMENTATIONS
from training.data.batches import Batches
from training.data.opening import open_data
from training.data.pixels import PixelsInMemory, load_pixels
from training.data.sampling import SAMPLERS
from training.data.training_set import TrainingSet
from training.distributed import Processes
from training.errors import TrainingError
from training.history import History, from_csv

pytestmark = pytest.mark.usefixtures("undrawn")

STEPS = 60
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    root = fitting_place(tmp_path_factory.mktemp("distributed"), classes=10, images=5)
    write_recipe(root / "small.yaml", SMALL_RECIPE.replace("weights: float16", "weights: float32"))
    return root


def arguments(place: Path, store: Path, *further: str) -> list[str]:
    recipe = [] if "--resume" in further else with_recipe(place, f"max_steps={STEPS}")
    return [*fit_words(place, store), *recipe, *further]


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*TORCHRUN, "-m", "training", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def begun(place: Path, store: Path) -> subprocess.Popen[str]:
    """Two processes that have saved their first state."""
    process = start(*arguments(place, store, "--save-every", "0"))
    wait_for_state(store, process)
    return process


def wait_for_state(store: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not state_of(store).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    assert state_of(store).exists(), process.communicate()[0]


def history(store: Path) -> History:
    return from_csv((ModelStore(store).find("m").path / "history.csv").read_bytes())


def state_of(store: Path) -> Path:
    return store / ".runs" / "m" / "state.pt"


def weights(store: Path) -> dict[str, torch.Tensor]:
    return load_file(ModelStore(store).find("m").path / "weights.safetensors")


@pytest.fixture(scope="module")
def alone(place) -> dict[str, torch.Tensor]:
    """What one process comes to."""
    assert main(arguments(place, place / "alone")) == 0
    return weights(place / "alone")


@pytest.fixture(scope="module")
def stopped(place) -> Path:
    """A store in which two processes were stopped by SIGTERM to torchrun."""
    store = place / "stopped"
    process = begun(place, store)
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert told.count("interrupted; go on with") == 1, told
    assert "torchrun --nproc-per-node 2" in told
    assert 0 < torch.load(state_of(store), weights_only=True)["step"] < STEPS
    return store


def test_together_they_come_to_what_one_comes_to(place, alone, stopped, tmp_path):
    """Stopped, and gone on with by as many."""
    store = shutil.copytree(stopped, tmp_path / "store")
    process = start(*arguments(place, store, "--resume"))
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert told.count("going on after step") == 1
    assert_alike(weights(store), alone)
    ours, its = (history(root)[:5] for root in (store, place / "alone"))
    assert [row.loss for row in ours] == pytest.approx([row.loss for row in its], rel=1e-3)
    assert [row.accuracy for row in ours] == pytest.approx([row.accuracy for row in its])


def test_one_goes_on_where_two_were_stopped(place, alone, stopped, tmp_path):
    store = shutil.copytree(stopped, tmp_path / "store")
    assert main(arguments(place, store, "--resume")) == 0
    assert_alike(weights(store), alone)


def test_one_whose_companion_dies_does_not_wait_for_it(place, tmp_path):
    """Without torchrun, which would end it anyway."""
    store = tmp_path / "store"
    first, other = (begun_by_hand(place, store, rank) for rank in range(2))
    wait_for_state(store, first)
    other.kill()
    told, _ = first.communicate(timeout=60)
    other.communicate()
    assert first.returncode == 1
    assert "lost touch" in told
    assert "--resume" in told
    assert "Traceback" not in told
    assert state_of(store).exists()


def test_none_leaves_before_all_have_come():
    one_is_late = (
        "import time, torch\n"
        "from training.distributed import Processes\n"
        "processes = Processes.of_environment()\n"
        "with processes.joined(torch.device('cpu')):\n"
        "    time.sleep(0.5 if processes.first else 0)\n"
        "    came = time.monotonic()\n"
        "print(came, time.monotonic())\n"
    )
    both = [by_hand(rank, "-c", one_is_late) for rank in range(2)]
    (came, _), (_, left) = (map(float, each.communicate(timeout=120)[0].split()) for each in both)
    assert left >= came


def begun_by_hand(place: Path, store: Path, rank: int) -> subprocess.Popen[str]:
    # Of so many steps that it does not end before it is seen to have begun, however busy all is.
    words = arguments(place, store, "--save-every", "0", "--set", "max_steps=100000")
    return by_hand(rank, "-m", "training", *words)


def by_hand(rank: int, *words: str) -> subprocess.Popen[str]:
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(meeting_port())}
    return subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **os.environ,
            **where,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "OMP_NUM_THREADS": "1",
        },
    )


@functools.cache
def meeting_port() -> int:
    return free_port()


def assert_alike(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], atol=1e-4, rtol=1e-3)


class TestShares:
    def test_every_batch_is_dealt_once(self):
        dealt = [position for rank in range(3) for position in Processes(rank, 3).share(6)]
        assert dealt == list(range(6))

    def test_what_cannot_be_dealt_evenly_is_refused_with_advice(self):
        with pytest.raises(TrainingError, match="batches_per_step=4"):
            Processes(0, 2).share(3)

    def test_no_image_is_used_twice_or_lost(self, place):
        pixels = load_pixels(open_data(place / "data").whole, tiny.GREY_32, budget=2**30, workers=1)
        assert isinstance(pixels, PixelsInMemory)
        whole = drawn(pixels, range(4))
        shares = [drawn(pixels, Processes(rank, 2).share(4)) for rank in range(2)]
        for step, images in enumerate(whole):
            assert np.array_equal(images, np.concatenate([share[step] for share in shares]))

    def test_of_the_environment(self, monkeypatch):
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
            monkeypatch.delenv(name, raising=False)
        assert Processes.of_environment().count == 1
        for name, value in (("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "1")):
            monkeypatch.setenv(name, value)
        processes = Processes.of_environment()
        assert (processes.rank, processes.count, processes.first) == (3, 4, False)


def drawn(pixels: PixelsInMemory, mine: range) -> list[np.ndarray]:
    """The images of each of three steps, in order."""
    images = TrainingSet(pixels, turned_classes=False)
    sampler = SAMPLERS["shuffled"](images.table, 4, 0)
    batches = Batches(
        images,
        sampler,
        AUGMENTATIONS["none"](tiny.GREY_32),
        seed=0,
        device=CPU,
        steps=3,
        per_step=4,
        mine=mine,
    )
    return [
        np.concatenate([making().images.numpy() for making in makings])
        for makings in batches.following(0)
    ]


def test_synchronised_batch_norm_is_refused_on_a_cpu(place, tmp_path, capsys):
    words = arguments(place, tmp_path / "store", "--set", "synchronised_batch_norm=true")
    assert main(words) == 1
    assert "GPUs only" in capsys.readouterr().err


class NormalisedAndRectified(torch.nn.BatchNorm2d):
    def forward(self, images):
        return super().forward(images).relu()


class TestNormalisingTogether:
    """What is converted computes the same, but for whose statistics it takes in training."""

    def test_our_own_networks(self):
        before, after = embeddings_of_one_and_of_two(tiny.network())
        assert torch.equal(before, after)

    def test_activations_within_normalisation_stay(self):
        """As in timm's EfficientNets."""
        layers = pytest.importorskip("timm.layers", reason="the extra timm is not installed")
        network = ending_in(layers.BatchNormAct2d(8, act_layer=torch.nn.SiLU))
        before, after = embeddings_of_one_and_of_two(network)
        assert torch.equal(before, after)

    def test_what_would_lose_something_is_refused_with_advice(self):
        network = ending_in(NormalisedAndRectified(8))
        with pytest.raises(TrainingError, match=r"NormalisedAndRectified.*batch_norm=false"):
            Processes(0, 2).normalising_together(network, torch.device("cuda"))


def ending_in(layer: torch.nn.BatchNorm2d) -> SiameseNetwork:
    """A network whose backbone has another layer at its end."""
    network = tiny.network()
    branch = network.branches[0]
    branch.backbone = torch.nn.Sequential(branch.backbone, layer)
    return network.eval()


def embeddings_of_one_and_of_two(network: SiameseNetwork) -> tuple[torch.Tensor, torch.Tensor]:
    """In evaluation mode, as one process has the network and as one of two that have GPUs does."""
    height, width, channels = network.preprocessing.shape
    images = torch.arange(2 * height * width * channels, dtype=torch.int32).remainder(251)
    images = images.to(torch.uint8).reshape(2, height, width, channels)
    with torch.inference_mode():
        before = network.embed(images)
    together = Processes(0, 2).normalising_together(network, torch.device("cuda"))
    kinds = [type(module) for module in together.modules()]
    assert any(issubclass(kind, torch.nn.SyncBatchNorm) for kind in kinds)
    assert not any(issubclass(kind, torch.nn.BatchNorm2d) for kind in kinds)
    with torch.inference_mode():
        return before, together.embed(images)
