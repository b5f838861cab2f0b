import numpy as np
import pytest
import torch

from app.inference.engines import choose_device, make_engine
from app.inference.engines.torch_cpu import TorchCpuEngine
from app.inference.errors import InferenceError
from model_store import ModelStore
from model_store.network import Side
from model_store.preprocessing import prepare
from tests.app.material import DIMENSION, network, pixels


def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one.astype(np.float64) * other).sum(axis=1) / norms


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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu(tmp_path) -> None:
    store = ModelStore(tmp_path)
    store.save("tiny", network())
    batch = np.stack([prepare(pixels(seed), network().preprocessing) for seed in range(16)])
    found = []
    for device in ("cpu", "cuda:0"):
        engine = make_engine(store.load("tiny"), engine="torch", device=device, cache=tmp_path)
        engine.warm_up(16)
        found.append(engine.features(batch, Side.LEFT))
        alone = engine.features(batch[:1], Side.LEFT)
        assert cosine(alone, found[-1][:1]).min() >= 0.99999
        engine.close()
    assert cosine(*found).min() >= 0.99999
