"""The trees of a shape predictor."""

from dataclasses import dataclass

import numpy as np

from model_store.imports.dlib_format.numbers import (
    Floats,
    Integers,
    NotDlibFormat,
    integers,
    reals,
)


@dataclass(frozen=True)
class Shape:
    """A shape predictor: cascades of regression trees (Kazemi, Sullivan 2014).

    All trees have the same depth: S = 2^depth − 1 splits, S + 1 leaves.

    Attributes:
        initial: float32 (points, 2), x and y in a box from (0, 0) to (1, 1).
        anchors: int64 (cascades, pixels), the point that each pixel is looked up beside.
        deltas: float32 (cascades, pixels, 2), and where from there.
        pixels: int64 (cascades, trees, S, 2), the two pixels that a split compares.
        thresholds: float32 (cascades, trees, S); left where the difference is greater.
        leaves: float32 (cascades, trees, S + 1, points, 2), what is added to the shape.
    """

    initial: Floats
    anchors: Integers
    deltas: Floats
    pixels: Integers
    thresholds: Floats
    leaves: Floats


def read_shape_predictor(data: bytes) -> Shape:
    """A shape predictor.

    Args:
        data: The file's bytes.

    Raises:
        NotDlibFormat: It is none, or one whose trees differ in size.
    """
    numbers = _Numbers(integers(data))
    numbers.expect(1)
    values = -numbers.one()
    numbers.expect(-1)
    initial = numbers.reals(values)
    cascades = numbers.one()
    pixels, thresholds, leaves = [], [], []
    for _ in range(cascades):
        trees = numbers.one()
        splits = numbers.look()
        size = 2 + 4 * splits + (splits + 1) * (2 + 2 * values)
        forest = numbers.block(trees, size)
        split = forest[:, 1 : 1 + 4 * splits].reshape(trees, splits, 4)
        leaf = forest[:, 2 + 4 * splits :].reshape(trees, splits + 1, 2 + 2 * values)
        counts, shapes = forest[:, [0, 1 + 4 * splits]], leaf[..., :2]
        if (counts != [splits, splits + 1]).any() or (shapes != [-values, -1]).any():
            raise NotDlibFormat("its trees differ in size")
        pixels.append(split[..., :2])
        thresholds.append(reals(split[..., 2:]))
        leaves.append(reals(leaf[..., 2:].reshape(trees, splits + 1, values // 2, 2, 2)))
    numbers.expect(cascades)
    anchors = [numbers.block(1, numbers.one())[0] for _ in range(cascades)]
    numbers.expect(cascades)
    deltas = [reals(numbers.block(numbers.one(), 4).reshape(-1, 2, 2)) for _ in range(cascades)]
    numbers.end()
    try:
        return Shape(
            initial.reshape(-1, 2),
            np.stack(anchors),
            np.stack(deltas),
            np.stack(pixels),
            np.stack(thresholds),
            np.stack(leaves),
        )
    except ValueError as error:
        raise NotDlibFormat(f"its cascades differ in size: {error}") from error


class _Numbers:
    """Integers, taken one after another."""

    def __init__(self, values: Integers) -> None:
        self._values = values
        self._next = 0

    def look(self) -> int:
        if self._next >= len(self._values):
            raise NotDlibFormat("it ends too early")
        return int(self._values[self._next])

    def one(self) -> int:
        found = self.look()
        self._next += 1
        return found

    def expect(self, value: int) -> None:
        found = self.one()
        if found != value:
            raise NotDlibFormat(f"it has {found} where a shape predictor has {value}")

    def block(self, rows: int, columns: int) -> Integers:
        end = self._next + rows * columns
        if rows < 1 or columns < 1 or end > len(self._values):
            raise NotDlibFormat("it ends too early")
        found = self._values[self._next : end].reshape(rows, columns)
        self._next = end
        return found

    def reals(self, count: int) -> Floats:
        return reals(self.block(count, 2))

    def end(self) -> None:
        if self._next != len(self._values):
            raise NotDlibFormat("it goes on where a shape predictor ends")
