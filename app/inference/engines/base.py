"""What every engine offers."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from model_store.network import Side

UInt8Batch = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]
Embeddings = npt.NDArray[np.float32]


class Engine(Protocol):
    """Runs the branches of one network on one device.

    An engine is called by one thread at a time. An image's features must not depend on the
    images beside it in the batch (cosine ≥ 0.99999).

    Attributes:
        name: What it is, as the `ENGINE` setting calls it.
        device: Where it runs: `cpu`, or `cuda:0` and the like.
        precision: What it computes in: `float32` and the like.
        reason: Why it was chosen, with that precision, for users.
    """

    name: str
    device: str
    precision: str
    reason: str

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
