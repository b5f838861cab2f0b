"""What every server here runs: from an encoded image to its embedding."""

import os
from queue import SimpleQueue

import numpy as np
import torch

from app.inference.engines import Embeddings, Engine, UInt8Batch, make_engine
from app.settings import Settings
from model_store import ModelStore
from model_store.images import decode_prepared
from model_store.network import Side
from model_store.preprocessing import UInt8Image
from model_store.store import SHIPPED

MODEL = "photos"
LARGEST_BATCH = 8
BATCH_SECONDS = 0.005
"""How long servers that wait for a batch to fill may wait."""


def is_constant() -> bool:
    """Whether decoding and network are left out."""
    return os.environ.get("TWINLENS_BENCH_CONSTANT") == "1"


class Pipeline:
    """Decoding and embedding, each on the thread that calls.

    Args:
        engines: Batches that may be embedded at once; each is computed on one core.
    """

    def __init__(self, engines: int = 1) -> None:
        torch.set_num_threads(1)
        settings = Settings()
        self._engines: SimpleQueue[Engine] = SimpleQueue()
        checkpoint = ModelStore(SHIPPED).load(MODEL)
        self._spec = checkpoint.manifest.preprocessing
        self._network = checkpoint.network
        for _ in range(engines):
            engine = make_engine(
                ModelStore(SHIPPED).load(MODEL),
                engine=settings.engine,
                device="cpu",
                precision=settings.precision,
                threads=1,
                cache=settings.engine_cache,
            )
            engine.warm_up(LARGEST_BATCH)
            self._engines.put(engine)
        self._image = np.zeros(self._spec.shape, np.uint8)
        self._row = self.embed(self._image[None])[0]

    def decode(self, data: bytes) -> UInt8Image:
        """uint8 (height, width, 3)."""
        return self._image if is_constant() else decode_prepared(data, self._spec)

    def embed(self, batch: UInt8Batch) -> Embeddings:
        """float32 (N, dimension)."""
        if is_constant() and hasattr(self, "_row"):
            return np.repeat(self._row[None], len(batch), axis=0)
        engine = self._engines.get()
        try:
            features = torch.from_numpy(engine.features(batch, Side.LEFT))
        finally:
            self._engines.put(engine)
        rows: Embeddings = self._network.finish(features).numpy()
        return rows
