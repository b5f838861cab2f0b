"""All images in a new order every epoch."""

import numpy as np

from training.data.sampling.base import ClassTable, Draw, Integers, Sampler
from training.randomness import Stream, numpy_generator


class Shuffled(Sampler):
    """Goes through all images, each once an epoch, in an order drawn anew for each.

    Every step has `batch` images: where an epoch ends inside a step, the next one begins there.

    Args:
        table: The classes to draw from.
        batch: Images a step, ≥ 1.
        seed: The run's seed.
    """

    by_image = True

    def __init__(self, table: ClassTable, batch: int, seed: int) -> None:
        super().__init__(table, batch, seed)
        if len(table) < 2 or len(table.labels) < 2:
            raise ValueError("training needs at least 2 classes; add images")
        self._epoch = -1
        self._order: Integers = np.empty(0, dtype=np.int64)

    def draw(self, step: int) -> Draw:
        """As `Sampler.draw`."""
        images = len(self.table.labels)
        position, stop = step * self.batch, (step + 1) * self.batch
        parts = []
        while position < stop:
            epoch, offset = divmod(position, images)
            part = self._order_of(epoch)[offset : offset + stop - position]
            parts.append(part)
            position += len(part)
        return Draw(np.concatenate(parts))

    def _order_of(self, epoch: int) -> Integers:
        if epoch != self._epoch:
            rng = numpy_generator(self.seed, Stream.EPOCH, epoch)
            self._order = rng.permutation(len(self.table.labels)).astype(np.int64)
            self._epoch = epoch
        return self._order
