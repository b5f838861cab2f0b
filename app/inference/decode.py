"""From encoded bytes to the network's size, on a few threads."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from app.inference.errors import CLOSING, NotReady
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
        self._closed = False

    def start(
        self,
        data: bytes,
        spec: Preprocessing,
        *,
        done: Callable[[UInt8Image], None],
        failed: Callable[[BaseException], None],
    ) -> Future[None]:
        """Decodes an image to what the network sees, when a thread is free.

        Args:
            data: The encoded image.
            spec: What the network sees of it.
            done: Called on the thread with the image, uint8 (height, width, channels).
            failed: Called in its place with what went wrong: an `ImageError` as of
                `model_store.images.decode`, or `NotReady` if the decoder was closed before.

        Returns:
            To be cancelled when the image is not wanted any more; nothing is called then unless
            the image is in work already.
        """
        return self._pool.submit(self._decode, data, spec, done, failed)

    def close(self) -> None:
        """Ends the threads once they are done with what they are at; the rest is answered."""
        self._closed = True
        self._pool.shutdown(wait=False)

    def _decode(
        self,
        data: bytes,
        spec: Preprocessing,
        done: Callable[[UInt8Image], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        if self._closed:
            failed(NotReady(CLOSING))
            return
        try:
            with self._metrics.timed("decode"):
                image = decode_prepared(data, spec, max_pixels=self._max_pixels)
        except BaseException as error:  # noqa: BLE001 (whoever waits for the image hears of it)
            failed(error)
        else:
            done(image)
