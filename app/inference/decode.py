"""From encoded bytes to the network's size, on a few threads."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import torch

from app.observability.metrics import Metrics
from model_store.images import decode_prepared
from model_store.preprocessing import Preprocessing, UInt8Image


class Decoder:
    """A bounded pool of threads that decode.

    Args:
        threads: Images decoded at once.
        max_pixels: An image that declares more is refused before a pixel is decoded.
        metrics: Where the time goes on record.
    """

    def __init__(self, *, threads: int, max_pixels: int, metrics: Metrics) -> None:
        # Each thread resizes on its own core; PyTorch's threads below it would only fight.
        self._pool = ThreadPoolExecutor(
            threads, "twinlens-decode", initializer=torch.set_num_threads, initargs=(1,)
        )
        self._max_pixels = max_pixels
        self._metrics = metrics

    async def decode(self, data: bytes, spec: Preprocessing) -> UInt8Image:
        """An image as the network sees it; one that is cancelled before its turn is not decoded.

        Returns:
            uint8 (height, width, channels).

        Raises:
            ImageError: As `model_store.images.decode`.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._decode, data, spec)

    def close(self) -> None:
        """Ends the threads once they are done with what they are at."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _decode(self, data: bytes, spec: Preprocessing) -> UInt8Image:
        with self._metrics.timed("decode"):
            return decode_prepared(data, spec, max_pixels=self._max_pixels)
