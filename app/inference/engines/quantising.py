"""A network whose convolutions compute in eight bits.

What a convolution takes becomes whole numbers from 0 to 255, of which one stands for 0, and its
weights become whole numbers from −127 to 127 with a scale for each filter (Jacob et al. 2018,
*Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*,
section 2.1). How far the numbers reach is seen on pictures. What each filter's result is then off
by in the mean is added to it again, one convolution after the other, as the ones behind see what
those before them are off by (Nagel et al. 2019, *Data-Free Quantization Through Weight Equalization
and Bias Correction*, section 4.2).
"""

import math
from collections.abc import Iterable

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
from app.inference.engines.openvino_runtime import in_float32

_LEVELS = 256
_WEIGHT_LEVELS = 255
"""As many below 0 as above."""


def quantised(model: ov.Model, images: UInt8Batch) -> ov.Model:
    """The same network, its convolutions in eight bits; everything else stays in float32.

    Args:
        model: As `conversion.convert` makes it.
        images: Pictures of the kind that the network is for, (N, height, width, channels).

    Raises:
        RuntimeError: It has no convolutions, does not come to finite numbers, or OpenVINO cannot
            compute it.
    """
    model, found = opened(model)
    if not found:
        raise RuntimeError("it has no convolutions, and eight bits are for those")
    lowest, highest, means = _seen(model, found, images)
    if not np.isfinite([*lowest, *highest]).all():
        raise RuntimeError("it comes to numbers that are not finite; train it again")
    grids: dict[tuple[str, int], ov.Node] = {}
    for filters, low, high in zip(found, lowest, highest, strict=True):
        source = filters.node.input_value(0)
        known = source.get_node().get_name(), source.get_index()
        # Those that take the same share one, or it would be computed twice.
        if known not in grids:
            grids[known] = _fake(source, *grid(low, high), levels=_LEVELS)
        filters.node.input(0).replace_source_output(grids[known].output(0))
        weights = filters.node.input_value(1)
        most = _largest(filters).astype(np.float32)
        rounded = _fake(weights, -most, most, levels=_WEIGHT_LEVELS)
        filters.node.input(1).replace_source_output(rounded.output(0))
    _correct(model, found, means, images)
    model.validate_nodes_and_infer_types()
    return model


def grid(low: float, high: float) -> tuple[float, float]:
    """The ends of 256 evenly spaced numbers that reach as far and of which one is 0.

    A convolution pads with 0, and most of what a ReLU gives is 0: it must not be off.

    Args:
        low: The least that must be reached.
        high: The most.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return 0.0, 1.0
    steps = _LEVELS - 1
    share = math.floor(steps * -low / (high - low))
    # Both sides keep a step if they reach anywhere at all.
    fewest, most = int(low < 0), steps - int(high > 0)

    def step(below: int) -> float:
        return max(-low / max(below, 1), high / max(steps - below, 1))

    below = min((min(max(n, fewest), most) for n in (share, share + 1)), key=step)
    return -below * step(below), (steps - below) * step(below)


def _largest(filters: Filters) -> Floats:
    """The largest weight of each filter without its sign, shaped to go with the weights."""
    largest: Floats = np.abs(filters.weights).max(axis=(1, 2))
    largest[largest == 0] = 1
    shape = tuple(filters.node.input_value(1).get_shape())
    grouped = filters.node.get_type_name() == "GroupConvolution"
    kept = shape[: 1 + grouped]
    return largest.reshape(*kept, *(1,) * (len(shape) - len(kept)))


def _fake(source: ov.Output, low: npt.ArrayLike, high: npt.ArrayLike, *, levels: int) -> ov.Node:
    """Rounds to evenly spaced numbers, which OpenVINO then computes with as whole ones."""
    ends = [ops.constant(np.asarray(end, np.float32)) for end in (low, high)]
    return ops.fake_quantize(source, *ends, *ends, levels)


def _seen(
    model: ov.Model, found: list[Filters], images: UInt8Batch
) -> tuple[list[float], list[float], list[Floats]]:
    """The least and the most that each convolution takes, and each filter's mean result."""
    wanted = []
    for filters in found:
        taken, given = filters.node.input_value(0), filters.node.output(0)
        every = ops.constant(np.arange(len(taken.get_partial_shape())))
        wanted += [
            ops.reduce_min(taken, every, False).output(0),
            ops.reduce_max(taken, every, False).output(0),
            _mean(given),
        ]
    values = results(model, wanted, images)
    return [float(low) for low in values[::3]], [float(high) for high in values[1::3]], values[2::3]


def _mean(given: ov.Output) -> ov.Output:
    """Of each channel."""
    others = [axis for axis in range(len(given.get_partial_shape())) if axis != 1]
    return ops.reduce_mean(given, ops.constant(np.array(others)), False).output(0)


def _correct(
    model: ov.Model, found: list[Filters], means: Iterable[Floats], images: UInt8Batch
) -> None:
    """Adds to each filter's result what its mean is off by, seen behind those corrected before."""
    unknown, corrected = [], []
    for filters in found:
        given = filters.node.output(0)
        targets = given.get_target_inputs()
        rank = len(given.get_partial_shape())
        missing = ops.parameter([1, len(filters.weights), *(1,) * (rank - 2)], np.float32)
        whole = ops.add(given, missing)
        for target in targets:
            target.replace_source_output(whole.output(0))
        unknown.append(missing)
        corrected.append(_mean(whole.output(0)))
    observed = ov.Model(corrected, [*model.get_parameters(), *unknown])
    compute = in_float32(observed)
    values = [np.zeros(tuple(missing.get_shape()), np.float32) for missing in unknown]
    for number, mean in enumerate(means):
        off = mean - compute([images, *values])[number].astype(np.float64)
        values[number] += off.reshape(values[number].shape).astype(np.float32)
    for missing, value in zip(unknown, values, strict=True):
        known = ops.constant(value).output(0)
        for target in missing.output(0).get_target_inputs():
            target.replace_source_output(known)
