"""Where the ink is in a picture, so that glyphs look alike wherever and however large they are.

Moment normalisation, as in classical character recognition (Casey 1970, "Moment normalization of
handprinted characters", IBM Journal of Research and Development 14).
"""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

_LONGEST = 256
"""Moments are taken from a picture of about this size at most; more pixels would not move them."""

_LARGEST = 16_000_000
"""Pixels of the area that a box is cut out of, above which the picture is reduced before."""

_FAINTEST = 16
"""Grey levels from the paper below which nothing counts as ink."""

_SMALLEST = 0.25
"""The least half side of a box, in half sides of the picture: a full stop stays a full stop."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels; may reach beyond the picture."""


def ink_box(image: Image.Image, *, paper: int, span: float, aspect: float) -> Box:
    """The box around the ink: centred on its centre of mass, its sides in proportion to its spread.

    Ink is what differs from the paper by at least half of what the pixel furthest from it does.

    Args:
        image: Mode `L`.
        paper: Grey value of the paper, 0–255.
        span: Half the box's shorter side, in units of the ink's root mean square distance from
            its centre of mass.
        aspect: Width by height of the box.

    Returns:
        The box; around the whole picture if there is no ink in it.
    """
    factor = max(1, max(image.size) // _LONGEST)
    grey = np.asarray(image.reduce(factor) if factor > 1 else image, dtype=np.float64)
    contrast = np.abs(grey - paper)
    furthest = contrast.max()
    width, height = image.size
    if furthest < _FAINTEST:
        shorter = max(width / max(aspect, 1.0), height * min(aspect, 1.0))
        return _around(width / 2, height / 2, shorter / 2, aspect)
    ink = np.where(contrast >= furthest / 2, contrast, 0.0)
    across, across_variance = _moments(ink.sum(0))
    down, down_variance = _moments(ink.sum(1))
    spread = math.sqrt(across_variance + down_variance) * factor
    half = max(span * spread, _SMALLEST * max(width, height) / 2)
    return _around(across * factor, down * factor, half, aspect)


def cut_out(
    image: Image.Image,
    box: Box,
    size: tuple[int, int],
    *,
    fill: tuple[int, ...],
    resampling: Image.Resampling,
    reducing_gap: float | None = None,
) -> Image.Image:
    """A box of a picture, brought to a size; what lies beyond the picture is filled.

    Args:
        image: Any mode with as many channels as `fill` has values.
        box: What is wanted.
        size: (width, height) of the result.
        fill: Value by channel.
        resampling: The filter, antialiased.
        reducing_gap: As of Pillow's `resize`.
    """
    # The box around one long row of pixels has as many rows as columns: a file of a kilobyte could
    # ask for more memory than there is.
    factor = math.ceil(math.sqrt((box[2] - box[0]) * (box[3] - box[1]) / _LARGEST))
    if factor > 1:
        image = image.reduce(factor)
        box = (box[0] / factor, box[1] / factor, box[2] / factor, box[3] / factor)
    left, top = math.floor(box[0]), math.floor(box[1])
    canvas = Image.new(image.mode, (math.ceil(box[2]) - left, math.ceil(box[3]) - top), fill)
    canvas.paste(image, (-left, -top))
    inner = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    return canvas.resize(size, resampling, box=inner, reducing_gap=reducing_gap)


def _moments(mass: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean and variance of the place of mass along a line, a pixel's centre at its half."""
    places = np.arange(len(mass)) + 0.5
    total = mass.sum()
    mean = float(mass @ places / total)
    return mean, float(mass @ (places - mean) ** 2 / total)


def _around(across: float, down: float, half: float, aspect: float) -> Box:
    wide, high = half * max(aspect, 1.0), half / min(aspect, 1.0)
    return (across - wide, down - high, across + wide, down + high)
