"""PyTorch on the CPU, in float32."""

from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np
import torch

from app.inference.engines.base import ONE_AT_A_TIME, Features, UInt8Batch
from model_store.network import SiameseNetwork, Side

_PIECES = (1, 2, 4, 8)


class TorchCpuEngine:
    """Splits a batch over threads that each run the whole network on their part.

    Within a part everything runs on one thread. PyTorch's own threads meet at a barrier in every
    layer, and when anything else wants a core (decoding does) each barrier waits for the slowest:
    on two busy cores that was two to four times slower than one thread alone. Parts are also small,
    because eager PyTorch is fastest when a layer's output stays in the cache.

    Args:
        network: In evaluation mode; its branches are laid out anew in memory.
        threads: Parts that run at once.
        reason: Why it was chosen.

    Attributes:
        name: `torch`.
        device: `cpu`.
        precision: `float32`.
        reason: As given.
        concurrency: One call at a time.
        piece: Images in a part; `warm_up` sets it to what is fastest here.
    """

    name = "torch"
    device = "cpu"
    precision = "float32"
    concurrency = ONE_AT_A_TIME

    def __init__(self, network: SiameseNetwork, threads: int, reason: str = "") -> None:
        self.reason = reason
        network.branches.to(memory_format=torch.channels_last)
        self._network = network
        self._threads = threads
        self._pool = ThreadPoolExecutor(
            threads, "twinlens-torch", initializer=torch.set_num_threads, initargs=(1,)
        )
        self.piece = 1

    def features(self, batch: UInt8Batch, side: Side) -> Features:
        """As `Engine.features`."""
        size = max(1, min(self.piece, -(-len(batch) // self._threads)))
        pieces = [batch[start : start + size] for start in range(0, len(batch), size)]
        parts = list(self._pool.map(self._piece_features, pieces, [side] * len(pieces)))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def warm_up(self, max_batch: int) -> None:
        """Runs parts of several sizes and keeps the size with the most images a second."""
        spec = self._network.preprocessing
        best = 0.0
        for piece in _PIECES:
            if piece > max(1, max_batch // self._threads):
                break
            blank = np.zeros((piece, *spec.shape), np.uint8)
            self._pool.submit(self._piece_features, blank, Side.LEFT).result()
            started = perf_counter()
            self._pool.submit(self._piece_features, blank, Side.LEFT).result()
            rate = piece / (perf_counter() - started)
            if rate > best:
                best, self.piece = rate, piece
        full = np.zeros((max_batch, *spec.shape), np.uint8)
        for side in self._network.sides:
            self.features(full, side)

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _piece_features(self, piece: UInt8Batch, side: Side) -> Features:
        with torch.inference_mode():
            features: Features = self._network.features(torch.from_numpy(piece), side).numpy()
        return features
