"""What every sampler offers, and the table of classes they draw from."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


class ClassTable:
    """Which images each class has.

    Args:
        labels: (N,), the class of every image.
        groups: (classes,), the group of every class.
        on_right: (N,), whether each image is on the right side; None where sides are of no
            account.
        among: The images that the table is of; None for all.

    Attributes:
        labels: As given.
        groups: As given.
        counts: (classes,), images of every class.
        sides: The tables of the left images alone and of the right ones, numbered as here; None
            where sides are of no account.
    """

    def __init__(
        self,
        labels: Integers,
        groups: Integers,
        on_right: npt.NDArray[np.bool_] | None = None,
        *,
        among: Integers | None = None,
    ) -> None:
        self.labels = labels
        self.groups = groups
        taken = np.arange(len(labels)) if among is None else among
        self.counts: Integers = np.bincount(labels[taken], minlength=len(groups)).astype(np.int64)
        self._order = taken[np.argsort(labels[taken], kind="stable")].astype(np.int64)
        self._starts = np.cumsum(self.counts) - self.counts
        self.sides: tuple[ClassTable, ClassTable] | None = None
        if on_right is not None:
            left, right = np.flatnonzero(~on_right), np.flatnonzero(on_right)
            self.sides = (
                ClassTable(labels, groups, among=left),
                ClassTable(labels, groups, among=right),
            )

    def __len__(self) -> int:
        return len(self.groups)

    def image(self, classes: Integers, position: Integers) -> Integers:
        """The images at given positions, 0 ≤ position < count, of given classes; any shape."""
        images: Integers = self._order[self._starts[classes] + position]
        return images


@dataclass(frozen=True)
class Draw:
    """What a sampler chose for a step.

    Attributes:
        indices: (N,), images, to be embedded once each.
        pairs: (P, 2), positions in `indices`, or None.
        same: (P,), whether each pair is of one class, or None.
    """

    indices: Integers
    pairs: Integers | None = None
    same: npt.NDArray[np.bool_] | None = None


class Sampler(ABC):
    """Chooses each step's images, as a function of the seed and the step alone.

    Built as `Sampler(table, batch, seed, **options)`.

    Args:
        table: The classes to draw from.
        batch: The size of a step, counted as the sampler says: images, or pairs.
        seed: The run's seed.

    Attributes:
        by_image: Whether every image is drawn alike, so that large classes are drawn more often
            than small ones; if not, classes are drawn alike.

    Raises:
        ValueError: The table or the size does not suffice; the message says what is wanted.
    """

    by_image: ClassVar[bool] = False

    def __init__(self, table: ClassTable, batch: int, seed: int) -> None:
        self.table = table
        self.batch = batch
        self.seed = seed

    @property
    def images_per_step(self) -> int:
        """Images a step goes through; an epoch is as many steps as go through all images."""
        return self.batch

    @abstractmethod
    def draw(self, step: int) -> Draw:
        """What step `step`, counted from 0, is trained on; the same at every call."""
