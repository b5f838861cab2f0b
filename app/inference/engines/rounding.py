"""Weights for bfloat16, rounded so that their errors cancel where the nearest values' add up.

Eight significant bits leave a weight off by up to a 256th part. Rounded one by one, the errors of
a kernel that looks for edges do not sum to nothing, and any even patch counts as a bit of one; and
OpenVINO rounds what is added to each channel, too. So some weights take their second nearest value,
chosen such that a filter gives what it should for what it sees on average: the error is passed on
within the filter, as error diffusion does it in a picture (Floyd and Steinberg 1976), and the mean
of what is left goes, as in the correction of biases after quantisation (Nagel et al. 2019,
*Data-Free Quantization Through Weight Equalization and Bias Correction*, section 4.2).
"""

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as ops

from app.inference.engines.base import UInt8Batch
from app.inference.engines.convolutions import (
    Filters,
    Floats,
    opened,
    results,
)

_FRACTION_BITS = 7
"""Behind the leading one, in bfloat16."""


def rounded(model: ov.Model, images: UInt8Batch) -> ov.Model:
    """The same network, its convolutions' weights values of bfloat16.

    Args:
        model: As `conversion.convert` makes it.
        images: What the mean of each channel is taken from, (N, height, width, channels).

    Raises:
        RuntimeError: OpenVINO cannot compute the network.
    """
    model, found = opened(model)
    for filters, (mean, variance) in zip(found, _seen(model, found, images), strict=True):
        _round(filters, mean, variance)
    model.validate_nodes_and_infer_types()
    return model


def nearest(values: npt.ArrayLike) -> Floats:
    """The values of bfloat16 nearest to some of float32; of two, the even one."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    even = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return even.view(np.float32).astype(np.float64)


def settle(exact: Floats, values: Floats, mean: Floats, variance: Floats, off: Floats) -> Floats:
    """Moves values by a step of bfloat16 wherever a filter then errs less, filter by filter.

    The error that is made small is the expected square of what a filter's result is off by, where
    its inputs vary independently of each other and the taps of an input all see the same:
    (off + Σᵢ dᵢ meanᵢ)² + Σᵢ dᵢ² varianceᵢ, with dᵢ what the taps of input i are off by together.
    The steps that matter most are tried first.

    Args:
        exact: What the values were before rounding, (filters, inputs, taps).
        values: Rounded, likewise.
        mean: What each input is on average, (filters or 1, inputs).
        variance: Likewise.
        off: What a filter's result is off by besides, (filters,).

    Returns:
        The values, every one of bfloat16, and none further from the exact one than a step.
    """
    filters, _, taps = exact.shape
    errors = (values - exact).sum(axis=2)
    off = off + (errors * mean).sum(axis=1)
    values = values.reshape(filters, -1).copy()
    exact = exact.reshape(filters, -1)
    step = np.zeros_like(values)
    known = values != 0
    step[known] = np.exp2(np.floor(np.log2(np.abs(values[known]))) - _FRACTION_BITS)
    mean, variance = (np.broadcast_to(each, errors.shape) for each in (mean, variance))
    order = np.argsort(-step * np.repeat(np.abs(mean), taps, axis=1), axis=1, kind="stable")
    rows = np.arange(filters)
    for columns in order.T:
        inputs = columns // taps
        error, gain = errors[rows, inputs], mean[rows, inputs]
        # Towards less; where it is known, of the error in the mean.
        down = -np.sign(np.where(gain * off != 0, gain * off, error))
        move = down * step[rows, columns]
        change = (off + move * gain) ** 2 - off**2
        change += ((error + move) ** 2 - error**2) * variance[rows, inputs]
        moved = values[rows, columns] + move
        near = np.abs(exact[rows, columns] - moved) <= step[rows, columns]
        move[(change >= 0) | ~near] = 0
        values[rows, columns] += move
        errors[rows, inputs] += move
        off += move * gain
    return values.reshape(filters, -1, taps)


def _seen(model: ov.Model, found: list[Filters], images: UInt8Batch) -> list[tuple[Floats, Floats]]:
    """Mean and variance of each channel that a convolution takes, for each of them."""
    axes = ops.constant(np.array([0, 2, 3]))
    wanted = []
    for filters in found:
        inputs = filters.node.input_value(0)
        wanted += [
            ops.reduce_mean(inputs, axes, False).output(0),
            ops.reduce_mean(ops.multiply(inputs, inputs), axes, False).output(0),
        ]
    values = results(model, wanted, images)
    pairs = zip(values[::2], values[1::2], strict=True)
    return [(mean, np.maximum(square - mean**2, 0)) for mean, square in pairs]


def _round(filters: Filters, mean: Floats, variance: Floats) -> None:
    """Gives a convolution weights of bfloat16."""
    exact = filters.weights
    off = np.zeros(len(exact))
    if filters.added is not None:
        added = np.array(filters.added.data, np.float64).ravel()
        off = nearest(added) - added
    values = settle(exact, nearest(exact), mean[filters.inputs], variance[filters.inputs], off)
    old = filters.node.input_value(1)
    constant = ops.constant(values.reshape(tuple(old.get_shape())).astype(np.float32))
    filters.node.input(1).replace_source_output(constant.output(0))
