"""Who waits for embeddings, and whether one of them has the cores to itself."""

import math
from time import perf_counter

_LATELY_SECONDS = 0.05
"""Two that overlap now and then go on to: between their requests, each looks alone for a moment."""


class Callers:
    """Counts them. Written on one event loop, read from any thread."""

    def __init__(self) -> None:
        self._count = 0
        self._images = 0
        self._together = -math.inf

    @property
    def lone_images(self) -> int:
        """Images of the only caller; 0 if there are several, or were until just now."""
        if self._count != 1 or perf_counter() - self._together < _LATELY_SECONDS:
            return 0
        return self._images

    def enter(self, images: int) -> None:
        """Somebody wants so many images embedded."""
        self._count += 1
        self._images += images
        self._look()

    def leave(self, images: int) -> None:
        """Somebody who wanted so many has them, or has given up."""
        self._look()
        self._count -= 1
        self._images -= images

    def _look(self) -> None:
        if self._count > 1:
            self._together = perf_counter()
