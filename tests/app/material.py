"""Pictures, a small real model, and engines that misbehave on demand."""

import io
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from app.inference.engines.base import ONE_AT_A_TIME, Concurrency
from app.inference.lane import Lane
from app.inference.rows import Rows
from model_store import ModelStore
from model_store.calibration import Calibration, LogisticCurve
from model_store.network import BranchSpec, ComparatorSpec, NetworkSpec, SiameseNetwork, Side
from model_store.preprocessing import Preprocessing
from tests import tiny

SPEC = Preprocessing(height=32, width=32, mode="RGB", mean=(0.5,) * 3, std=(0.25,) * 3)
DIMENSION = 16

CALIBRATION = Calibration(
    curve=LogisticCurve(slope=8.0, intercept=-4.0),
    prior=0.5,
    threshold=0.5,
    target_far=0.01,
    far=0.01,
    far_interval=(0.0, 0.03),
    frr=0.1,
    frr_interval=(0.05, 0.2),
    classes=10,
    genuine_pairs=100,
    impostor_pairs=900,
    data="drawn by a program",
)


def network(
    comparator: str = "cosine", *, sides: int = 1, seed: int = 0, spec: Preprocessing = SPEC
) -> SiameseNetwork:
    """A small convolutional network with weights drawn from a seed."""
    branch = BranchSpec(backbone="small-cnn", pooling="flatten", projection=DIMENSION)
    made = NetworkSpec(branches=(branch,) * sides, comparator=ComparatorSpec(name=comparator))
    return tiny.seeded(made, spec, seed)


def store_of(root: Path, *names: str) -> ModelStore:
    """A store with a version for each name, in order."""
    store = ModelStore(root)
    for name in names:
        store.save(name, network())
    return store


def fill_store(root: Path) -> ModelStore:
    """A store with calibrated, uncalibrated, asymmetric and two-sided models, and a broken one."""
    store = ModelStore(root)
    store.save("tiny", network(), calibration=CALIBRATION, description="Small.")
    store.save("plain", network("euclidean", seed=1))
    store.save("ordered", network("signed-difference-sigmoid", seed=2), calibration=CALIBRATION)
    store.save("sided", network(sides=2, seed=3), calibration=CALIBRATION)
    broken = store.save("broken", network(seed=4))
    weights = broken.path / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    store.set_default("tiny")
    store.set_alias("small", "tiny")
    return store


def pixels(seed: int, width: int = 48, height: int = 40) -> Image.Image:
    """A smooth random picture, so that JPEG and resizing change it little."""
    values = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """An image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(seed: int, kind: str = "PNG") -> bytes:
    """A random picture as a file."""
    return encode(pixels(seed), kind)


class MeanEngine:
    """An engine whose features of an image are its mean value, several times.

    It blocks while its gate is closed, raises for images that are `POISON` all over, and
    remembers the batches it was given.
    """

    POISON = 255
    name, device, precision, reason = "mean", "cpu", "float32", "made for tests"

    def __init__(self, concurrency: Concurrency = ONE_AT_A_TIME) -> None:
        self.concurrency = concurrency
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.batches: list[tuple[int, Side]] = []
        self.closed = False
        self.error: BaseException | None = None
        self.rows_short = 0

    def features(self, batch: np.ndarray, side: Side) -> np.ndarray:
        self.batches.append((len(batch), side))
        self.entered.release()
        assert self.gate.wait(30)
        if self.error is not None:
            raise self.error
        if (batch == self.POISON).all(axis=(1, 2, 3)).any():
            raise ValueError("this image cannot be embedded")
        means = batch.reshape(len(batch), -1).mean(axis=1, dtype=np.float32)
        return np.repeat(means[:, None], DIMENSION, axis=1)[: len(batch) - self.rows_short]

    def warm_up(self, max_batch: int) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def lane(engine: MeanEngine, side: Side = Side.LEFT, name: str = "mean") -> Lane:
    return Lane(name, engine, side, DIMENSION, lambda _: None, lambda features, _: Rows(features))


def grey(value: int) -> np.ndarray:
    """A prepared image of one value."""
    return np.full((4, 4, 3), value, np.uint8)
