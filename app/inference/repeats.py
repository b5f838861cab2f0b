"""How often images come again, and what a full queue makes of that."""

_MEMORY_IMAGES = 64
# To read a request for nothing costs about a thirtieth of computing an image on the CPU.
_WORTH = 32


class Repeats:
    """Tells whether a request is worth reading though the queue is full. Used from one thread only.

    An image that is known already, or in work, needs no place in the queue, and to learn whether
    a request is for such an image, it must be read. That costs the device, which waits for the
    interpreter meanwhile, and is wasted where images hardly ever come again. So all requests are
    read while one image in 32 is known, and else one request in 32, to notice a change.
    """

    def __init__(self) -> None:
        self._share = 0.0
        self._passed = 0

    def saw(self, *, known: bool) -> None:
        """Takes into account one image that was read."""
        self._share += (known - self._share) / _MEMORY_IMAGES

    def worth_reading(self) -> bool:
        """Whether the next request is to be read; to be asked once for each."""
        if self._share * _WORTH >= 1:
            return True
        self._passed = (self._passed + 1) % _WORTH
        return self._passed == 0
