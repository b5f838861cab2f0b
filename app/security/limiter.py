"""How many images one key may send."""

import math
from time import monotonic

_BURST_SECONDS = 10.0


class Bucket:
    """A bucket of tokens, one an image, that fills at a steady rate.

    A request enters as long as one token is left, and then pays for all its images, into debt if
    need be: how many it has is known only once it has been read. So the rate holds for images,
    however they are put into requests.

    Args:
        rate: Images a second; ten seconds' worth can be saved up.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._capacity = max(1.0, rate * _BURST_SECONDS)
        self._tokens = self._capacity
        self._updated = monotonic()

    def enter(self) -> int:
        """Takes the first image's token.

        Returns:
            0; or, where there is none, the whole seconds until there is, at least 1.
        """
        now = monotonic()
        self._tokens = min(self._capacity, self._tokens + (now - self._updated) * self._rate)
        self._updated = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0
        return max(1, math.ceil((1 - self._tokens) / self._rate))

    def charge(self, images: int) -> None:
        """Pays for a request's further images; of -1, gives back the first where there is none."""
        self._tokens -= images

    def give_back(self, images: int) -> None:
        """Undoes `charge`, for a request that was refused after all."""
        self._tokens += images
