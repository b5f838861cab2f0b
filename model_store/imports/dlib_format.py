"""Reading what dlib serialised: networks' parameters and a shape predictor, never any code.

dlib's `serialize.h` and the `serialize` functions of its classes are the format. Integers are a
control byte (the low four bits say how many bytes follow, the highest bit is the sign) and these
bytes, least first; a real number is two integers, mantissa and exponent of two; the values of a
tensor lie as they are, little-endian float32.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.errors import StoreError

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

_SIGN, _LENGTH = 0x80, 0x0F
_STEPS = bytes(1 + (byte & _LENGTH) for byte in range(256))
_LONGEST = 8
_INFINITE = 32_000
"""From this exponent on a real number is infinite, or none."""

_LAYER = re.compile(rb"\x01[\x04-\x08](con_[1-6]|affine_2?|bn_con2|fc_[1-3])")
_CONVOLUTION, _AFFINE, _NORMALISATION, _LINEAR = b"con_", b"affine_", b"bn_con2", b"fc_"
_BEFORE_PARAMETERS = {_LINEAR: 2}
_AFTER_STATISTICS = 10
"""Integers between a batch normalisation's running variances and its epsilon: two of them, and four
real numbers."""


class NotDlibFormat(StoreError):
    """The bytes are not what dlib writes."""


@dataclass(frozen=True)
class Convolution:
    """A convolution, with a batch normalisation behind it worked into it.

    Attributes:
        weight: float32 (out, in · rows · columns), rows within a filter as PyTorch has them.
        bias: float32 (out,).
    """

    weight: Floats
    bias: Floats


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


def read_network(data: bytes) -> tuple[list[Convolution], Floats | None]:
    """The layers with parameters of a network, the one nearest to the input first.

    Args:
        data: The file's bytes.

    Returns:
        The convolutions; and the values of a linear layer without bias, if the network ends in one:
        float32 (in · out,), row by row (in, out).

    Raises:
        NotDlibFormat: It holds no convolutions, or ends before they do.
    """
    convolutions: list[Convolution] = []
    linear: Floats | None = None
    for kind, values in _layers(data):
        if kind == _CONVOLUTION:
            convolutions.append(_convolution(*values))
        elif kind == _AFFINE and convolutions:
            convolutions[-1] = _scaled(convolutions[-1], *np.split(values[0], 2))
        elif kind == _NORMALISATION and convolutions:
            parameters, mean, variance, epsilon = values
            factor, shift = np.split(parameters, 2)
            factor = factor / np.sqrt(variance + epsilon)
            convolutions[-1] = _scaled(convolutions[-1], factor, shift - factor * mean)
        elif kind == _LINEAR:
            linear = values[0]
    if not convolutions:
        raise NotDlibFormat("it holds no convolutions of dlib's")
    return convolutions, linear


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
        thresholds.append(_reals(split[..., 2:]))
        leaves.append(_reals(leaf[..., 2:].reshape(trees, splits + 1, values // 2, 2, 2)))
    numbers.expect(cascades)
    anchors = [numbers.block(1, numbers.one())[0] for _ in range(cascades)]
    numbers.expect(cascades)
    deltas = [_reals(numbers.block(numbers.one(), 4).reshape(-1, 2, 2)) for _ in range(cascades)]
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


def integers(data: bytes) -> Integers:
    """All integers of a stream that holds nothing else.

    Raises:
        NotDlibFormat: The stream ends within one, or one is longer than 63 bits.
    """
    steps = data.translate(_STEPS)
    starts: list[int] = []
    position = 0
    # The one loop over millions of numbers: all else is done on arrays.
    while position < len(steps):
        starts.append(position)
        position += steps[position]
    if position != len(data):
        raise NotDlibFormat("it ends within a number")
    bytes_ = np.frombuffer(data + bytes(_LONGEST), np.uint8)
    begin = np.array(starts, dtype=np.int64)
    control = bytes_[begin]
    lengths = control & _LENGTH
    if (lengths > _LONGEST).any():
        raise NotDlibFormat("it holds a number of more than eight bytes")
    found = np.zeros(len(begin), np.int64)
    for number in range(int(lengths.max(initial=0))):
        digit = np.where(number < lengths, bytes_[begin + 1 + number], 0)
        found |= digit.astype(np.int64) << (8 * number)
    return np.where(control & _SIGN, -found, found)


def _reals(pairs: Integers) -> Floats:
    """Mantissas and exponents (…, 2) → float32 (…)."""
    if (pairs[..., 1] >= _INFINITE).any():
        raise NotDlibFormat("it holds a number that is infinite or none")
    return np.ldexp(pairs[..., 0].astype(np.float64), pairs[..., 1]).astype(np.float32)


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
        return _reals(self.block(count, 2))

    def end(self) -> None:
        if self._next != len(self._values):
            raise NotDlibFormat("it goes on where a shape predictor ends")


def _layers(data: bytes) -> Iterator[tuple[bytes, list[Floats]]]:
    """Kind and parameters of each layer that has any, found by the layers' names."""
    stream = _Stream(data)
    while (match := _LAYER.search(data, stream.position)) is not None:
        stream.position = match.end()
        name = match.group(1)
        kinds = (_CONVOLUTION, _AFFINE, _NORMALISATION, _LINEAR)
        kind = next(kind for kind in kinds if name.startswith(kind))
        for _ in range(_BEFORE_PARAMETERS.get(kind, 0)):
            stream.integer()
        values = [stream.tensor()]
        if kind == _CONVOLUTION:
            values.append(np.array([stream.integer()], np.float32))
        elif kind == _NORMALISATION:
            for _ in range(2):
                stream.alias()
            _, _, mean, variance = (stream.tensor() for _ in range(4))
            for _ in range(_AFTER_STATISTICS):
                stream.integer()
            epsilon = np.array([stream.integer(), stream.integer()], np.int64)
            values += [mean, variance, _reals(epsilon)]
        yield kind, values


class _Stream:
    """Bytes, read one value after another."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def integer(self) -> int:
        control = self._data[self.position : self.position + 1]
        if not control:
            raise NotDlibFormat("it ends too early")
        end = self.position + 1 + (control[0] & _LENGTH)
        digits = self._data[self.position + 1 : end]
        self.position = end
        found = int.from_bytes(digits, "little")
        return -found if control[0] & _SIGN else found

    def alias(self) -> None:
        """Passes over the shape of a part of the parameters."""
        for _ in range(5):
            self.integer()

    def tensor(self) -> Floats:
        version, *shape = (self.integer() for _ in range(5))
        size = 4 * int(np.prod(shape))
        values = self._data[self.position : self.position + size]
        if version != 2 or len(values) != size:
            raise NotDlibFormat("it ends too early, or holds a tensor of another version")
        self.position += size
        return np.frombuffer(values, "<f4").astype(np.float32)


def _convolution(parameters: Floats, filters: Floats) -> Convolution:
    count = int(filters[0])
    if count < 1 or len(parameters) % count or len(parameters) == count:
        raise NotDlibFormat(f"a convolution of {count} filters has {len(parameters)} parameters")
    return Convolution(parameters[:-count].reshape(count, -1), parameters[-count:])


def _scaled(layer: Convolution, factor: Floats, shift: Floats) -> Convolution:
    if factor.shape != layer.bias.shape:
        raise NotDlibFormat(f"{len(factor)} factors follow {len(layer.bias)} filters")
    return Convolution(layer.weight * factor[:, None], layer.bias * factor + shift)
