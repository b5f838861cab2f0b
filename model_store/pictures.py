"""Pictures drawn by a program, on which it shows whether a network still computes the same.

They have to be of the kind that networks are made for. On an even or a noisy picture features are
small differences of large numbers, and rounding shows in them as it never does in a photo.
"""

import functools
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from model_store.preprocessing import Preprocessing, UInt8Image, prepare

COUNT = 4
"""Pictures in a set."""

_PHOTO = (320, 256)
_LEAVES = 1200
_SMALLEST, _LARGEST = 2.5, 100.0
_BLUR = 1.0
_PAPER = (128, 128)


def drawn(spec: Preprocessing) -> UInt8Image:
    """Pictures prepared for a network: drawings in ink where it looks for ink, else scenes.

    With other versions of Pillow or NumPy they may come out a little differently.

    Args:
        spec: What the network takes.

    Returns:
        uint8 (COUNT, height, width, channels), the same at every call.
    """
    pictures = (
        _drawing(number, spec) if spec.resize == "ink" else _scene(number)
        for number in range(COUNT)
    )
    return np.stack([prepare(picture, spec) for picture in pictures])


@functools.cache
def _scene(number: int) -> Image.Image:
    """Things before things, few large and many small, in muted colours, unevenly lit.

    The "dead leaves" model of natural images (Lee, Mumford, Huang 2001, "Occlusion models for
    natural images", International Journal of Computer Vision 41): discs and boxes whose sizes
    follow the inverse cube.
    """
    random = np.random.default_rng(number)
    scene = Image.new("RGB", _PHOTO, (96, 92, 88))
    pen = ImageDraw.Draw(scene)
    for _leaf in range(_LEAVES):
        radius = _SMALLEST / math.sqrt(1 - random.random() * (1 - (_SMALLEST / _LARGEST) ** 2))
        centre = random.uniform(0, 1, 2) * _PHOTO
        radii = radius * random.uniform(0.5, 1.5, 2)
        box = (*(centre - radii), *(centre + radii))
        grey = random.uniform(20, 235)
        colour = tuple(int(v) for v in np.clip(grey + random.normal(0, 20, 3), 0, 255))
        if random.random() < 0.5:
            pen.ellipse(box, fill=colour)
        else:
            pen.rounded_rectangle(box, float(min(radii)) / 4, fill=colour)
    light = np.zeros(_PHOTO[::-1])
    for cells, amplitude in ((2, 0.3), (4, 0.15), (16, 0.1), (64, 0.1)):
        grid = Image.fromarray(random.uniform(-1, 1, (cells, cells)).astype(np.float32))
        light += amplitude * np.asarray(grid.resize(_PHOTO, Image.Resampling.BICUBIC))
    grain = random.normal(0, 2.5, (*_PHOTO[::-1], 3))
    values = (
        np.asarray(scene.filter(ImageFilter.GaussianBlur(_BLUR))) * (1 + light)[..., None] + grain
    )
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _drawing(number: int, spec: Preprocessing) -> Image.Image:
    """A few strokes of a pen, each a curve through three points, on paper."""
    random = np.random.default_rng(number)
    ink = 0 if spec.fill >= 128 else 255
    picture = Image.new("L", _PAPER, spec.fill)
    pen = ImageDraw.Draw(picture)
    side = _PAPER[0]
    for _stroke in range(int(random.integers(2, 6))):
        start, bend, end = random.uniform(0.15, 0.85, (3, 2)) * side
        steps = [n / 24 for n in range(25)]
        curve = [tuple((1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end) for t in steps]
        pen.line(curve, fill=ink, width=math.ceil(side / 32), joint="curve")
    return picture.convert(spec.mode)
