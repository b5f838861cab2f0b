"""How many images may be waiting or in work at once, and when to come back if that is full."""

import math
from time import monotonic

from app.inference.errors import QueueFull

_MEMORY_SECONDS = 10.0


class Admission:
    """Counts images from their acceptance to their answer. Used from one thread only.

    Args:
        limit: Most images accepted and unanswered at once.

    Attributes:
        outstanding: Images accepted and unanswered now.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.outstanding = 0
        # Both fade with time, so that their quotient is the rate of the last seconds. Only time
        # with work to do counts: an idle service is not a slow one.
        self._answered = 0.0
        self._busy_seconds = 0.0
        self._updated = monotonic()

    def acquire(self, images: int) -> None:
        """Accepts images, all or none.

        Raises:
            QueueFull: There is no room; says when there should be.
        """
        if self.outstanding + images > self._limit:
            wait = self.retry_after(images)
            raise QueueFull(
                f"{self.outstanding} images are waiting or in work, and {images} more would be "
                f"over the limit of {self._limit}; try again in {wait} s",
                wait,
            )
        self._update()
        self.outstanding += images

    def release(self) -> None:
        """Ends one image's stay, whether it was answered or given up."""
        self._update()
        self.outstanding -= 1
        self._answered += 1

    def rate(self) -> float | None:
        """Images answered a second while there was work, over the last seconds; None if unknown."""
        if self._answered < 1 or self._busy_seconds <= 0:
            return None
        return self._answered / self._busy_seconds

    def retry_after(self, images: int) -> int:
        """Whole seconds, 1 to 60, until there should be room for so many images."""
        rate = self.rate()
        excess = self.outstanding + images - self._limit
        return 1 if rate is None else min(60, max(1, math.ceil(excess / rate)))

    def _update(self) -> None:
        now = monotonic()
        elapsed = now - self._updated
        self._updated = now
        fade = math.exp(-elapsed / _MEMORY_SECONDS)
        self._answered *= fade
        self._busy_seconds *= fade
        if self.outstanding:
            self._busy_seconds += elapsed
