"""Which pairs images of classes give: all of them, or a fair sample."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from training.data.by_class import rows_by_class
from training.evaluation.answers import NONE
from training.evaluation.metrics import Indices

Coverage = Literal["exhaustive", "sample"]


@dataclass(frozen=True)
class Pairs:
    """Pairs of images by position.

    Attributes:
        left: int64 (P,), rows of the left images.
        right: int64 (P,), rows of the right images.
        coverage: Whether these are all the pairs of their kind.
        limited: Whether a limit left some out, so that a higher one gives more.
    """

    left: Indices
    right: Indices
    coverage: Coverage = "exhaustive"
    limited: bool = False

    def only(self, kept: npt.NDArray[np.bool_]) -> "Pairs":
        """Those marked, (P,)."""
        return replace(self, left=self.left[kept], right=self.right[kept])


@dataclass(frozen=True)
class PairPool:
    """All pairs that can be formed, of which some or all are taken.

    Attributes:
        left: int64 (L,), classes of the images that stand left.
        right: int64 (R,), classes of those that stand right, in the same numbering.
        itself: int64 (L,), where each left image stands right as well, with which it is never
            paired; `NONE` where it does not.
        ordered: Whether (a, b) and (b, a) are two pairs; without, `left` and `right` are the same.
    """

    left: Indices
    right: Indices
    itself: Indices
    ordered: bool

    @staticmethod
    def within(labels: Indices) -> "PairPool":
        """The pairs of images among themselves, each once, given the class of each."""
        return PairPool(labels, labels, np.arange(len(labels), dtype=np.int64), ordered=False)

    @property
    def genuine_total(self) -> int:
        """How many pairs of one class there are."""
        left, right = self._sizes()
        pairs = int((left * right).sum()) - self._with_itself(same=True)
        return pairs // (1 if self.ordered else 2)

    @property
    def impostor_total(self) -> int:
        """How many pairs of two classes there are."""
        left, right = self._sizes()
        pairs = len(self.left) * len(self.right) - int((left * right).sum())
        pairs -= self._with_itself(same=False)
        return pairs // (1 if self.ordered else 2)

    def genuine(self, limit: int, generator: np.random.Generator) -> Pairs:
        """Pairs of one class: all, or a sample of `limit`."""
        if self.genuine_total > limit:
            return self._sample(limit, generator, same=True)
        rows, columns = self._rows, self._columns
        shared = sorted(rows.keys() & columns.keys())
        grids = [_grid(rows[label], columns[label]) for label in shared]
        return self._allowed(grids)

    def impostors(self, limit: int, generator: np.random.Generator) -> Pairs:
        """Pairs of two classes: all, or a sample of `limit`."""
        if self.impostor_total > limit:
            return self._sample(limit, generator, same=False)
        grids = [
            _grid(rows, np.flatnonzero(self.right != label)) for label, rows in self._rows.items()
        ]
        return self._allowed(grids)

    @cached_property
    def _rows(self) -> dict[int, Indices]:
        """By class, the images that stand left."""
        return rows_by_class(self.left)

    @cached_property
    def _columns(self) -> dict[int, Indices]:
        """By class, those that stand right."""
        return self._rows if self.right is self.left else rows_by_class(self.right)

    def _sizes(self) -> tuple[Indices, Indices]:
        """How many images of each class stand left, and how many right."""
        classes = 1 + max(self.left.max(initial=-1), self.right.max(initial=-1))
        return np.bincount(self.left, minlength=classes), np.bincount(self.right, minlength=classes)

    def _with_itself(self, *, same: bool) -> int:
        """How many pairs of an image with itself count as of one class, or as of two.

        Of two they are where the classes of two folders could not be matched by name.
        """
        left = np.flatnonzero(self.itself != NONE)
        return int(((self.left[left] == self.right[self.itself[left]]) == same).sum())

    def _allowed(self, grids: list[tuple[Indices, Indices]]) -> Pairs:
        left = np.concatenate([grid[0] for grid in grids] or [np.empty(0, np.int64)])
        right = np.concatenate([grid[1] for grid in grids] or [np.empty(0, np.int64)])
        kept = right != self.itself[left]
        if not self.ordered:
            kept &= left < right
        return Pairs(left[kept], right[kept])

    def _sample(self, limit: int, generator: np.random.Generator, *, same: bool) -> Pairs:
        """Draws until `limit` different pairs are there: each pair is as likely as any other."""
        codes = np.empty(0, dtype=np.int64)
        while len(codes) < limit:
            if same:
                left, right = self._draw_genuine(2 * limit, generator)
            else:
                left, right = self._draw_any(2 * limit, generator)
            kept = (self.left[left] == self.right[right]) == same
            kept &= right != self.itself[left]
            left, right = left[kept], right[kept]
            if not self.ordered:
                left, right = np.minimum(left, right), np.maximum(left, right)
            codes = np.concatenate([codes, left * len(self.right) + right])
            _, first = np.unique(codes, return_index=True)
            codes = codes[np.sort(first)]
        left, right = np.divmod(codes[:limit], len(self.right))
        return Pairs(left, right, "sample", limited=True)

    def _draw_any(self, count: int, generator: np.random.Generator) -> tuple[Indices, Indices]:
        """Pairs of which those of two classes are alike in likelihood; many are of two classes."""
        left_sizes, right_sizes = self._sizes()
        others = len(self.right) - right_sizes
        if 4 * int((left_sizes * others).sum()) >= len(self.left) * len(self.right):
            left = generator.integers(0, len(self.left), size=count)
            return left, generator.integers(0, len(self.right), size=count)
        # Where a class or two have nearly all images, hardly a pair of any two images would do.
        # So numbers of pairs are drawn: each left image has as many as there are right images of
        # other classes, which are those before its class and those behind it.
        ends = np.cumsum(others[self.left])
        drawn = generator.integers(0, ends[-1], size=count)
        left = np.searchsorted(ends, drawn, side="right")
        label = self.left[left]
        place = drawn - (ends[left] - others[label])
        before = np.cumsum(right_sizes) - right_sizes
        place += np.where(place >= before[label], right_sizes[label], 0)
        return left, np.argsort(self.right, kind="stable")[place]

    def _draw_genuine(self, count: int, generator: np.random.Generator) -> tuple[Indices, Indices]:
        rows, columns = self._rows, self._columns
        shared = sorted(rows.keys() & columns.keys())
        sizes = np.array([len(rows[label]) * len(columns[label]) for label in shared])
        times = generator.multinomial(count, sizes / sizes.sum())
        left = [generator.choice(rows[label], n) for label, n in zip(shared, times, strict=True)]
        right = [
            generator.choice(columns[label], n) for label, n in zip(shared, times, strict=True)
        ]
        order = generator.permutation(count)
        return np.concatenate(left)[order], np.concatenate(right)[order]


def _grid(rows: Indices, columns: Indices) -> tuple[Indices, Indices]:
    return np.repeat(rows, len(columns)), np.tile(columns, len(rows))
