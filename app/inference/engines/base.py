"""What every engine offers."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from model_store.network import Side

UInt8Batch = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]
Embeddings = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Concurrency:
    """How many batches an engine takes at once.

    Attributes:
        streams: Calls of `features` that are computed side by side, each from a thread of its own;
            those of other engines count.
        calls: Calls that are taken at once, counted likewise. Those beyond `streams` wait inside
            the engine, so that the device need not stand idle for what lies between two calls.
        batch: Images of a call from which on more make it no faster; None where more do, or where
            that is unknown.
        own: Of `streams`, how many calls of this very engine are worth while; None for all.
        few: What `own` says holds while no more images than these wait or are computed, unless
            they are all of one caller; None for always.
        alone: While no more images than these wait or are computed, each gets a call of its own.
    """

    streams: int = 1
    calls: int = 1
    batch: int | None = None
    own: int | None = None
    few: int | None = None
    alone: int = 0

    def own_streams(self, images: int, *, lone: bool) -> int:
        """Of `streams`, those that calls of this engine should take.

        Args:
            images: That wait or are computed.
            lone: Whether they are all of one caller.
        """
        if self.own is None or (self.few is not None and (lone or images > self.few)):
            return self.streams
        return min(self.own, self.streams)

    @property
    def worth(self) -> int:
        """Calls of this engine that are computed side by side when ever so many images wait."""
        return self.streams if self.few is not None else self.own_streams(0, lone=False)

    def own_calls(self, images: int, *, lone: bool) -> int:
        """Of `calls`, those that this engine should be given; as `own_streams`."""
        return self.own_streams(images, lone=lone) * self.calls // self.streams


ONE_AT_A_TIME = Concurrency()

CALLS_PER_STREAM = 2
"""One that is computed, and one that waits behind it."""


@runtime_checkable
class HasRoom(Protocol):
    """An engine that takes batches fastest from memory of its own."""

    def room(self, most: int) -> UInt8Batch:
        """Memory to put batches together in, for one thread.

        Args:
            most: Images of the largest batch.

        Returns:
            uint8 (most, height, width, channels). What lies in it stays as it is during a call.
        """
        ...


@runtime_checkable
class ServesOneCaller(Protocol):
    """An engine that computes another way while all cores are there for one caller."""

    def features_for_one(self, batch: UInt8Batch, side: Side, images: int) -> Features:
        """As `Engine.features`, and the same features.

        Args:
            batch: As `Engine.features`.
            side: Likewise.
            images: All that the caller wants, those of the batch included.
        """
        ...


@runtime_checkable
class MayEnd(Protocol):
    """An engine that computes in another process.

    Its `features` raises `EngineGone` once that process has ended.
    """

    def ended(self) -> bool:
        """Whether that process has ended, without waiting for anything."""
        ...


class Engine(Protocol):
    """Runs the branches of one network on one device.

    An image's features must not depend on the images beside it in the batch (cosine ≥ 0.99999).

    Attributes:
        name: What it is, as the `ENGINE` setting calls it.
        device: Where it runs: `cpu`, or `cuda:0` and the like.
        precision: What it computes in: `float32` and the like.
        reason: Why it was chosen, with that precision, for users.
        concurrency: How many threads may call it at once.
    """

    name: str
    device: str
    precision: str
    reason: str
    concurrency: Concurrency

    def features(self, batch: UInt8Batch, side: Side) -> Features:
        """What the embeddings of prepared images are made of, as `SiameseNetwork.features`.

        Args:
            batch: uint8 (N, height, width, channels), N from 1 to the largest batch.
            side: The side they are on; of no account where the branches share weights.

        Returns:
            float32 (N, dimension), which the caller may keep.
        """
        ...

    def warm_up(self, max_batch: int) -> None:
        """Does everything that would make first batches slow, for batches up to `max_batch`."""
        ...

    def close(self) -> None:
        """Gives back memory and threads; the engine is not used after that."""
        ...


def has_ended(engine: Engine) -> bool:
    """Whether what computes for an engine is no more."""
    return isinstance(engine, MayEnd) and engine.ended()
