from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from app.inference.engines import (
    agreement,
    calls_at_once,
    choose_device,
    engine_maker,
    largest_batch,
    make_engine,
)
from app.inference.engines.torch_cpu import TorchCpuEngine
from app.inference.errors import InferenceError
from app.settings import PrecisionName, Settings
from model_store import ModelStore
from model_store.cpus import available_cpus
from model_store.network import Side
from model_store.preprocessing import prepare
from tests.app.inference.conversions import cosine
from tests.app.material import DIMENSION, network, pixels


@pytest.mark.parametrize("piece", [1, 2, 8])
def test_an_embedding_does_not_depend_on_its_batch_mates(piece: int) -> None:
    made = network()
    engine = TorchCpuEngine(made, threads=2)
    engine.warm_up(8)
    engine.piece = piece
    batch = np.stack([prepare(pixels(seed), made.preprocessing) for seed in range(16)])
    together = engine.features(batch, Side.LEFT)
    alone = np.concatenate([engine.features(image[None], Side.LEFT) for image in batch])
    thirds = [batch[start : start + 3] for start in range(0, 16, 3)]
    in_threes = np.concatenate([engine.features(part, Side.LEFT) for part in thirds])
    assert together.shape == (16, DIMENSION)
    assert together.dtype == np.float32
    assert cosine(together, alone).min() >= 0.99999
    assert cosine(in_threes, alone).min() >= 0.99999
    # And they are those of the network itself, with different images told apart.
    with torch.inference_mode():
        expected = network().features(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(together, expected, rtol=1e-4, atol=1e-5)
    assert cosine(together[:1], together[1:2])[0] < 0.999
    engine.close()


def test_sides_use_their_own_branch() -> None:
    made = network(sides=2)
    engine = TorchCpuEngine(made, threads=1)
    batch = prepare(pixels(0), made.preprocessing)[None]
    left, right = engine.features(batch, Side.LEFT), engine.features(batch, Side.RIGHT)
    with torch.inference_mode():
        for side, found in ((Side.LEFT, left), (Side.RIGHT, right)):
            expected = network(sides=2).features(torch.from_numpy(batch), side).numpy()
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert cosine(left, right)[0] < 0.999
    engine.close()


def test_the_devices_there_are(tmp_path) -> None:
    assert choose_device("cpu") == "cpu"
    if torch.cuda.is_available():
        assert choose_device("auto") == choose_device("cuda") == "cuda:0"
    else:
        assert choose_device("auto") == "cpu"
        with pytest.raises(InferenceError, match="DEVICE=auto"):
            choose_device("cuda")


def test_engines_are_made_as_the_settings_say(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    store.save("tiny", network())
    settings = Settings(
        engine="openvino",
        precision="float32",
        compute_threads=3,
        engine_cache=tmp_path / "cache",
        max_batch=1,
    )
    engine = engine_maker(settings, "cpu")(store.load("tiny"))
    assert (engine.name, engine.precision) == ("openvino", "float32")
    assert engine.reason == "precision set by PRECISION"
    assert engine.concurrency.streams == 3
    assert (tmp_path / "cache").is_dir()
    engine.close()
    plain = engine_maker(settings.model_copy(update={"engine": "torch"}), "cpu")
    assert plain(store.load("tiny")).name == "torch"


def test_a_batch_has_as_many_images_as_are_set_at_most(tmp_path: Path) -> None:
    assert [largest_batch(wanted, "cpu") for wanted in (1, 3, 500)] == [1, 3, 500]
    assert largest_batch(0, "cpu") == max(8, available_cpus())
    assert largest_batch(0, "cuda:0") == 256
    assert calls_at_once("cpu", 3) == 6
    assert calls_at_once("cpu", 0) == 2 * available_cpus()


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@needs_cuda
@pytest.mark.parametrize(
    ("precision", "least"), [("float32", 0.99999), ("float16", 0.9999), ("bfloat16", 0.999)]
)
@pytest.mark.parametrize("sides", [1, 2])
def test_cuda_agrees_with_the_cpu(
    tmp_path: Path, sides: int, precision: PrecisionName, least: float
) -> None:
    store = ModelStore(tmp_path)
    store.save("tiny", network(sides=sides))
    batch = np.stack([prepare(pixels(seed), network().preprocessing) for seed in range(16)])
    checkpoint = store.load("tiny")
    engine = make_engine(
        checkpoint, engine="auto", device="cuda:0", precision=precision, cache=tmp_path
    )
    assert engine.precision == precision
    engine.warm_up(10)
    for side in checkpoint.network.sides:
        with torch.inference_mode():
            expected = network(sides=sides).features(torch.from_numpy(batch), side).numpy()
        # More than the engine is warm for, a size it recorded, and one between two of these.
        for count in (16, 8, 5, 1):
            found = engine.features(batch[:count], side)
            assert found.dtype == np.float32
            assert cosine(found, expected[:count]).min() >= least
        alone = np.concatenate([engine.features(image[None], side) for image in batch])
        if precision == "float32":
            assert cosine(engine.features(batch, side), alone).min() >= 0.99999
    engine.close()


@needs_cuda
def test_calls_from_several_threads_do_not_mix(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    store.save("tiny", network())
    batch = np.stack([prepare(pixels(seed), network().preprocessing) for seed in range(32)])
    engine = make_engine(store.load("tiny"), engine="torch", device="cuda:0", cache=tmp_path)
    engine.warm_up(8)
    alone = np.concatenate([engine.features(image[None], Side.LEFT) for image in batch])

    def worst(first: int) -> float:
        found = [
            cosine(engine.features(batch[at : at + 3], Side.LEFT), alone[at : at + 3]).min()
            for turn in range(50)
            for at in [(first + turn) % 29]
        ]
        return float(min(found))

    with ThreadPoolExecutor(4) as threads:
        assert min(threads.map(worst, range(4))) >= 0.9999
    engine.close()


@needs_cuda
def test_a_network_that_float16_is_too_coarse_for_runs_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(tmp_path)
    store.save("tiny", network())
    monkeypatch.setitem(agreement.BOUNDS, "float16", agreement.Bound(mean=1.1, worst=1.1, length=0))
    engine = make_engine(store.load("tiny"), engine="auto", device="cuda:0", cache=tmp_path)
    assert engine.precision == "float32"
    assert "float16 computes other features" in engine.reason
    engine.close()
