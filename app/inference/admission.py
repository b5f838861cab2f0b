"""How much may be waiting or in work at once, and when to come back if that is full."""

import math
from time import monotonic

from app.inference.errors import QueueFull

_MEMORY_SECONDS = 10.0
_MIB = 1024 * 1024


class Admission:
    """Counts images and bytes from their acceptance to their answer. Used from one thread only.

    Args:
        limit: Most images accepted and unanswered at once.
        max_bytes: Most bytes of request bodies and unsent answers held at once.

    Attributes:
        outstanding: Images accepted and unanswered now.
        held_bytes: Bytes of request bodies and unsent answers held now.
    """

    def __init__(self, limit: int, max_bytes: int) -> None:
        self._limit = limit
        self._max_bytes = max_bytes
        self.outstanding = 0
        self.held_bytes = 0
        self._images = _Rate()
        self._bytes = _Rate()

    def check(self, images: int) -> None:
        """Refuses images that there is no room for now.

        Raises:
            QueueFull: There is none; says when there should be.
        """
        if self.outstanding + images > self._limit:
            wait = self.retry_after(images)
            raise QueueFull(
                f"{self.outstanding} images are waiting or in work, and {images} more would be "
                f"over the limit of {self._limit}; try again in {wait} s",
                wait,
            )

    def acquire(self, images: int) -> None:
        """Accepts images, all or none.

        Raises:
            QueueFull: As `check`.
        """
        self.check(images)
        self._images.update(busy=self.outstanding > 0)
        self.outstanding += images

    def release(self) -> None:
        """Ends one image's stay, whether it was answered or given up."""
        self._images.update(busy=True)
        self.outstanding -= 1
        self._images.done(1)

    def reserve(self) -> "Reservation":
        """Room for a request's body, which grows as the body comes in."""
        return Reservation(self)

    def rate(self) -> float | None:
        """Images answered a second while there was work, over the last seconds; None if unknown."""
        return self._images.value()

    def retry_after(self, images: int) -> int:
        """Whole seconds, 1 to 60, until there should be room for so many images."""
        return _seconds(self.outstanding + images - self._limit, self._images)

    def check_bytes(self, count: int) -> None:
        """Refuses bytes that there is no room for now.

        Raises:
            QueueFull: There is none; says when there should be.
        """
        excess = self.held_bytes + count - self._max_bytes
        if excess > 0:
            wait = _seconds(excess, self._bytes)
            raise QueueFull(
                f"{self.held_bytes / _MIB:,.1f} MiB of requests are being read or in work, or of "
                f"answers being sent, and {count / _MIB:,.1f} more would be over the limit of "
                f"{self._max_bytes / _MIB:,.1f}; try again in {wait} s",
                wait,
            )

    def take_bytes(self, count: int) -> None:
        """Accepts bytes, all or none; `Reservation` keeps the account.

        Raises:
            QueueFull: As `check_bytes`.
        """
        self.check_bytes(count)
        self.add_bytes(count)

    def add_bytes(self, count: int) -> None:
        """Counts bytes that are there already, whether there is room for them or not."""
        self._bytes.update(busy=self.held_bytes > 0)
        self.held_bytes += count

    def give_bytes(self, count: int) -> None:
        """Ends the stay of bytes."""
        self._bytes.update(busy=True)
        self.held_bytes -= count
        self._bytes.done(count)


class Reservation:
    """The bytes that one request holds, or its answer.

    Args:
        admission: Where they are counted.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._held = 0

    def expect(self, count: int) -> None:
        """Refuses a body of so many bytes if there is no room for it now; holds nothing.

        Raises:
            QueueFull: There is none.
        """
        self._admission.check_bytes(count)

    def grow(self, count: int) -> None:
        """Takes in so many more.

        Raises:
            QueueFull: There is no room.
        """
        self._admission.take_bytes(count)
        self._held += count

    def beside(self) -> "Reservation":
        """One of its own for what outlasts the request."""
        return Reservation(self._admission)

    def hold(self, count: int) -> None:
        """Has it hold so many, whether there is room for them or not: they are there already."""
        more = count - self._held
        if more > 0:
            self._admission.add_bytes(more)
        else:
            self._admission.give_bytes(-more)
        self._held = count

    def release(self) -> None:
        """Gives back all of them; may be called again."""
        if self._held:
            self._admission.give_bytes(self._held)
            self._held = 0


class _Rate:
    """How much gets done a second. Only time with work to do counts: an idle service is not slow.

    Both sums fade with time, so that their quotient is the rate of the last seconds.
    """

    def __init__(self) -> None:
        self._done = 0.0
        self._busy_seconds = 0.0
        self._updated = monotonic()

    def update(self, *, busy: bool) -> None:
        now = monotonic()
        elapsed = now - self._updated
        self._updated = now
        fade = math.exp(-elapsed / _MEMORY_SECONDS)
        self._done *= fade
        self._busy_seconds *= fade
        if busy:
            self._busy_seconds += elapsed

    def done(self, count: int) -> None:
        self._done += count

    def value(self) -> float | None:
        if self._done < 1 or self._busy_seconds <= 0:
            return None
        return self._done / self._busy_seconds


def _seconds(excess: int, rate: _Rate) -> int:
    value = rate.value()
    return 1 if value is None else min(60, max(1, math.ceil(excess / value)))
