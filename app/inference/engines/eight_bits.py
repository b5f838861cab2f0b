"""Whether this CPU's products of eight bits come to what they should."""

from functools import cache

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from app.inference.engines.openvino_runtime import in_float32

_CHANNELS = 64
_OFF = 0.01
"""Of the result. Where pairs of products are added in sixteen bits, half of it is lost."""


@cache
def adds_up() -> bool:
    """Whether the largest products of eight bits are added without overflowing.

    x86 CPUs without VNNI add pairs of them in sixteen bits, and a pair comes to 64,770 at most.
    OpenVINO says of these, too, that they compute in eight bits.
    """
    images = ops.parameter([1, 8, 8, _CHANNELS], np.uint8)
    maps = ops.transpose(ops.convert(images, np.float32), ops.constant([0, 3, 1, 2]))
    weights = ops.constant(np.ones((_CHANNELS, _CHANNELS, 1, 1), np.float32))
    ends = [ops.constant(np.float32(end)) for end in (0, 255)]
    around = [ops.constant(np.float32(end)) for end in (-1, 1)]
    given = ops.convolution(
        ops.fake_quantize(maps, *ends, *ends, 256),
        ops.fake_quantize(weights, *around, *around, 255),
        *([1, 1], [0, 0], [0, 0], [1, 1]),
    )
    model = ov.Model([given.output(0)], [images])
    (found,) = in_float32(model)([np.full((1, 8, 8, _CHANNELS), 255, np.uint8)])
    return bool(np.abs(found / (255 * _CHANNELS) - 1).max() < _OFF)
