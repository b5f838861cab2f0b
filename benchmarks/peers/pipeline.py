"""What every server here runs: from an encoded image to its embedding."""

import os
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from app.inference.engines import Embeddings, make_engine
from app.settings import Settings
from benchmarks.peers import plain
from benchmarks.service import MODEL
from model_store import ModelStore
from model_store.images import decode_prepared
from model_store.network import Side
from model_store.shipped import SHIPPED

LARGEST_BATCH = 8
BATCH_SECONDS = 0.005
"""How long servers that wait for a batch to fill may wait."""

CONSTANT = "TWINLENS_BENCH_CONSTANT"
"""Set to 1, decoding and network are left out."""

PLAIN_NETWORK = "TWINLENS_BENCH_PLAIN_NETWORK"
"""Set to the file that `plain.convert` wrote, images are decoded as `plain` does it."""

Pixels = npt.NDArray[Any]


def is_constant() -> bool:
    """Whether decoding and network are left out."""
    return os.environ.get(CONSTANT) == "1"


class Pipeline:
    """Decoding and embedding, each on the thread that calls.

    Args:
        engines: Batches that may be embedded at once; each is computed on one core.
    """

    def __init__(self, engines: int = 1) -> None:
        torch.set_num_threads(1)
        network = os.environ.get(PLAIN_NETWORK)
        self._plain = Path(network) if network else None
        checkpoint = ModelStore(SHIPPED).load(MODEL)
        self._spec = checkpoint.manifest.preprocessing
        self._network = checkpoint.network
        self._image = self._blank()
        self._engines: SimpleQueue[plain.Forward] = SimpleQueue()
        for _ in range(engines):
            forward = self._ours() if self._plain is None else self._theirs(self._plain)
            for size in (1, 4, LARGEST_BATCH):
                forward(np.stack([self._image] * size))
            self._engines.put(forward)
        self._row = self.embed(self._image[None])[0]

    def decode(self, data: bytes) -> Pixels:
        """What the network takes: uint8 (height, width, 3); or float32 (3, height, width)."""
        if is_constant():
            return self._image
        if self._plain is not None:
            return plain.decode(data, self._spec)
        return decode_prepared(data, self._spec)

    def embed(self, batch: Pixels) -> Embeddings:
        """float32 (N, dimension)."""
        if is_constant() and hasattr(self, "_row"):
            return np.repeat(self._row[None], len(batch), axis=0)
        forward = self._engines.get()
        try:
            features = forward(batch)
        finally:
            self._engines.put(forward)
        return self._network.finish_array(features)

    def _blank(self) -> Pixels:
        height, width, channels = self._spec.shape
        if self._plain is not None:
            return np.zeros((channels, height, width), np.float32)
        return np.zeros(self._spec.shape, np.uint8)

    def _ours(self) -> plain.Forward:
        settings = Settings()
        engine = make_engine(
            ModelStore(SHIPPED).load(MODEL),
            engine=settings.engine,
            device="cpu",
            precision=settings.precision,
            threads=1,
            cache=settings.engine_cache,
        )
        engine.warm_up(LARGEST_BATCH)
        return lambda batch: engine.features(batch, Side.LEFT)

    def _theirs(self, converted: Path) -> plain.Forward:
        settings = Settings()
        if settings.engine == "torch":
            return plain.eager(self._network)
        return plain.openvino(converted, settings.precision)
