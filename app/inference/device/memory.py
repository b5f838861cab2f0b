"""Memory that two processes see: the images of a call, and the features that come of them."""

import mmap
import os
from collections.abc import Sequence

import numpy as np

from app.inference.device.messages import Share
from app.inference.engines.base import Features, UInt8Batch

_FLOAT_BYTES = 4
_ALIGNED_TO = 64


class SharedMemory:
    """A piece of memory without a name, gone when both processes have let go of it.

    Args:
        share: How much there is of each.
        descriptor: Of the memory; belongs to the caller.

    Attributes:
        share: As given.
    """

    def __init__(self, share: Share, descriptor: int) -> None:
        self.share = share
        size = _size(share)
        if os.fstat(descriptor).st_size < size:
            raise ValueError(f"the memory has less than {size} bytes")
        self._all = np.frombuffer(mmap.mmap(descriptor, size), np.uint8)

    @property
    def whole(self) -> UInt8Batch:
        """All of it, uint8 (bytes,)."""
        return self._all

    def images(self, shape: Sequence[int]) -> UInt8Batch:
        """The images, uint8 (as many as fit, height, width, channels).

        Args:
            shape: (height, width, channels).
        """
        return self._all[: self.share.images].reshape(-1, *shape)

    def features(self, dimension: int) -> Features:
        """The features, float32 (as many as fit, dimension)."""
        end = _features_from(self.share) + self.share.features * _FLOAT_BYTES
        values = self._all[_features_from(self.share) : end].view(np.float32)
        return values.reshape(-1, dimension)


def make_memory(share: Share) -> int:
    """A new piece of memory; gives its descriptor, which the caller must close."""
    descriptor = os.memfd_create("twinlens")
    os.ftruncate(descriptor, _size(share))
    return descriptor


def _features_from(share: Share) -> int:
    return -(-share.images // _ALIGNED_TO) * _ALIGNED_TO


def _size(share: Share) -> int:
    return _features_from(share) + share.features * _FLOAT_BYTES
