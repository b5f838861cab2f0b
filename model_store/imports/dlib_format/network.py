"""The parameters of a network."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from model_store.imports.dlib_format.numbers import Floats, NotDlibFormat, integer, reals

_LAYER = re.compile(rb"\x01[\x04-\x08](con_[1-6]|affine_2?|bn_con2|fc_[1-3])")
_CONVOLUTION, _AFFINE, _NORMALISATION, _LINEAR = b"con_", b"affine_", b"bn_con2", b"fc_"
_BEFORE_PARAMETERS = {_LINEAR: 2}
_AFTER_STATISTICS = 10
"""Integers between a batch normalisation's running variances and its epsilon: two of them, and four
real numbers."""


@dataclass(frozen=True)
class Convolution:
    """A convolution, with a batch normalisation behind it worked into it.

    Attributes:
        weight: float32 (out, in · rows · columns), rows within a filter as PyTorch has them.
        bias: float32 (out,).
    """

    weight: Floats
    bias: Floats


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
            values += [mean, variance, reals(epsilon)]
        yield kind, values


class _Stream:
    """Bytes, read one value after another."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def integer(self) -> int:
        found, self.position = integer(self._data, self.position)
        return found

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
