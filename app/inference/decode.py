"""From encoded bytes to the network's size, on a few threads."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from time import perf_counter

import torch

from app.inference.errors import CLOSING, NotReady
from app.inference.slices import compute_in_long_slices
from app.inference.traces import forget_traces
from app.observability.metrics import Metrics
from model_store.errors import ImageError, UndecodableImage
from model_store.images import decode_prepared
from model_store.preprocessing import Preprocessing, UInt8Image


@dataclass(eq=False, slots=True)
class Decoding:
    """An image that is to be decoded.

    Attributes:
        data: The encoded image; nothing once it is cancelled.
        spec: What the network sees of it.
        done: Called with the decoded image.
        failed: Called in its place with what went wrong.
        cancelled: Whether nobody wants it any more.
    """

    data: bytes
    spec: Preprocessing
    done: Callable[[UInt8Image], None]
    failed: Callable[[BaseException], None]
    cancelled: bool = False

    def cancel(self) -> None:
        """Says that the image is not wanted: nothing is called unless it is in work already.

        Its bytes go at once: the request that is over does not answer for them any more, and they
        would wait here for a thread, counted nowhere.
        """
        self.cancelled, self.data = True, b""


class Decoder:
    """A few threads that decode. Used on one event loop.

    An executor of the standard library would make a lock and a future for each image, which costs
    twenty times what is done here.

    Args:
        threads: Images decoded at once.
        max_pixels: An image that declares more is refused before a pixel is decoded.
        metrics: Where the time goes on record.
    """

    def __init__(self, *, threads: int, max_pixels: int, metrics: Metrics) -> None:
        self._max_pixels = max_pixels
        self._metrics = metrics
        self._closed = False
        self._waiting: SimpleQueue[Decoding | None] = SimpleQueue()
        # What each thread is at, and since when.
        self._at: list[tuple[float, Decoding] | None] = [None] * threads
        self._threads = [
            # Daemons: a process that ends need not wait for images that nobody will get.
            Thread(target=self._run, args=(number,), name=f"twinlens-decode-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def start(
        self,
        data: bytes,
        spec: Preprocessing,
        *,
        done: Callable[[UInt8Image], None],
        failed: Callable[[BaseException], None],
    ) -> Decoding:
        """Decodes an image to what the network sees, when a thread is free.

        Args:
            data: The encoded image.
            spec: What the network sees of it.
            done: Called on the thread with the image, uint8 (height, width, channels).
            failed: Called in its place with what went wrong: an `ImageError` as of
                `model_store.images.decode`, or `NotReady` if the decoder was closed before.

        Returns:
            To be cancelled when the image is not wanted any more.
        """
        decoding = Decoding(data, spec, done, failed)
        if self._closed:
            failed(NotReady(CLOSING))
        else:
            self._waiting.put(decoding)
        return decoding

    def condemn_if_stuck(self, seconds: float) -> str | None:
        """Gives up once every thread has been at one image for so long, and answers all images.

        As long as one of them comes and goes, images are decoded; none can be broken off.

        Returns:
            Why nothing can be decoded any more, for users; None as long as something can.
        """
        work = [each for each in self._at if each is not None]
        if len(work) < len(self._at) or perf_counter() - max(since for since, _ in work) <= seconds:
            return None
        reason = f"decoding has hung ({len(work)} threads, each over {seconds:.0f} s at one image)"
        self._closed = True
        for _, decoding in work:
            # Not to be sent elsewhere, where it would do the same.
            decoding.failed(
                UndecodableImage(
                    f"decoding took over {seconds:.0f} s and came to no end; save the image again, "
                    "smaller or as another type"
                )
            )
        with contextlib.suppress(Empty):
            while True:
                waiting = self._waiting.get_nowait()
                if waiting is not None and not waiting.cancelled:
                    waiting.failed(NotReady(f"{reason}; send the request again elsewhere"))
        return reason

    def close(self) -> None:
        """Ends the threads once they are done with what they are at; the rest is answered."""
        self._closed = True
        for _ in self._threads:
            self._waiting.put(None)

    def _run(self, number: int) -> None:
        compute_in_long_slices()
        # Each thread resizes on its own core; PyTorch's threads below it would only fight.
        torch.set_num_threads(1)
        while (decoding := self._waiting.get()) is not None:
            if not decoding.cancelled:
                self._at[number] = perf_counter(), decoding
                self._decode(decoding)
                self._at[number] = None
            # While the thread waits, nothing keeps the last image's bytes alive.
            del decoding

    def _decode(self, decoding: Decoding) -> None:
        if self._closed:
            decoding.failed(NotReady(CLOSING))
            return
        try:
            with self._metrics.timed("decode"):
                image = decode_prepared(decoding.data, decoding.spec, max_pixels=self._max_pixels)
        except BaseException as error:  # noqa: BLE001 (whoever waits for the image hears of it)
            if isinstance(error, (ImageError, MemoryError)):
                # Nobody reads the trace of a refusal, and it has the opened image, with all that
                # its decoder took.
                forget_traces(error)
            decoding.failed(error)
        else:
            decoding.done(image)
        finally:
            # A trace that is read leads here, and from here back to whoever keeps the error.
            del decoding
