"""Pairs, half of one class and half of two."""

import numpy as np

from training.data.sampling.base import ClassTable, Draw, Sampler
from training.randomness import Stream, numpy_generator


class BalancedPairs(Sampler):
    """Draws pairs: half genuine, half impostor (one more genuine where `batch` is odd).

    A genuine pair is two different images of a class drawn evenly from those that have two; an
    impostor pair is an image each of two different classes, drawn evenly from all. `batch` counts
    pairs; an image in several pairs is embedded once. Where images have sides, the first of every
    pair is a left one and the second a right one.

    Args:
        table: The classes to draw from.
        batch: Pairs a step, ≥ 2.
        seed: The run's seed.
    """

    def __init__(self, table: ClassTable, batch: int, seed: int) -> None:
        super().__init__(table, batch, seed)
        first, second = table.sides or (table, table)
        self._first, self._second = first, second
        if table.sides is None:
            self._paired = np.flatnonzero(table.counts >= 2)
            self._present = np.flatnonzero(table.counts >= 1)
        else:
            self._paired = np.flatnonzero((first.counts >= 1) & (second.counts >= 1))
            self._present = self._paired
        if batch < 2:
            raise ValueError("batch must be at least 2 pairs, one genuine and one impostor")
        if len(self._paired) < 1 or len(self._present) < 2:
            raise ValueError("pairs need at least 2 classes, one of them with 2 images; add images")

    @property
    def images_per_step(self) -> int:
        """Two images a pair."""
        return 2 * self.batch

    def draw(self, step: int) -> Draw:
        """As `Sampler.draw`."""
        rng = numpy_generator(self.seed, Stream.SAMPLING, step)
        impostors = self.batch // 2
        genuine = self.batch - impostors

        own = rng.choice(self._paired, genuine)
        counts = self._first.counts[own]
        first = rng.integers(counts)
        if self.table.sides is None:
            second = (first + 1 + rng.integers(counts - 1)) % counts
        else:
            second = rng.integers(self._second.counts[own])
        alike = np.stack([self._first.image(own, first), self._second.image(own, second)], 1)

        present = len(self._present)
        left = rng.integers(present, size=impostors)
        right = (left + 1 + rng.integers(present - 1, size=impostors)) % present
        different = np.stack(
            [
                side.image(classes, rng.integers(side.counts[classes]))
                for side, classes in (
                    (self._first, self._present[left]),
                    (self._second, self._present[right]),
                )
            ],
            1,
        )

        indices, pairs = np.unique(np.concatenate([alike, different]), return_inverse=True)
        return Draw(
            indices=indices,
            pairs=pairs.reshape(-1, 2).astype(np.int64),
            same=np.arange(self.batch) < genuine,
        )
