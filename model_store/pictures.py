"""Pictures drawn by a program, on which it shows whether a network still computes the same.

They have to be of the kind that networks are made for. On an even or a noisy picture features are
small differences of large numbers, and rounding shows in them as it never does in a photo.
"""

import functools
import math
from typing import Literal

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


def drawn(
    spec: Preprocessing, subject: Literal["scene", "face"] = "scene", count: int = COUNT
) -> UInt8Image:
    """Pictures prepared for a network: drawings in ink where it looks for ink, else scenes.

    A network that looks for faces gets one in every other picture, as it goes another way where it
    finds none.

    With other versions of Pillow or NumPy they may come out a little differently.

    Args:
        spec: What the network takes.
        subject: What it looks for, if not for ink.
        count: How many; the first ones are the same, however many there are.

    Returns:
        uint8 (count, height, width, channels), the same at every call.
    """
    return np.stack([prepare(_picture(number, spec, subject), spec) for number in range(count)])


def _picture(number: int, spec: Preprocessing, subject: str) -> Image.Image:
    if spec.resize == "ink":
        return _drawing(number, spec)
    return _face(number) if subject == "face" and number % 2 == 0 else _scene(number)


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
    return _photographed(scene, random, ((2, 0.3), (4, 0.15), (16, 0.1), (64, 0.1)))


@functools.cache
def _face(number: int) -> Image.Image:
    """A face of ellipses on an even ground, which detectors of faces find."""
    random = np.random.default_rng(number)
    light, hair, ground = (random.uniform(*span) for span in ((140, 210), (25, 60), (60, 160)))
    portrait = Image.new("RGB", _PHOTO, (int(ground),) * 3)
    pen = ImageDraw.Draw(portrait)
    centre = np.array(_PHOTO) / 2 + random.uniform(-1, 1, 2) * (30, 10)
    half = random.uniform(55, 70)
    for x, y, across, down, brightness in _features(light, hair):
        middle, radii = np.array((x, y)), np.array((across, down))
        box = np.concatenate([middle - radii, middle + radii]) * half + np.tile(centre, 2)
        colour = (int(brightness), int(brightness * 0.88), int(brightness * 0.8))
        pen.ellipse(tuple(box), fill=colour)
    return _photographed(portrait, random, ((4, 0.12),))


def _features(light: float, hair: float) -> list[tuple[float, float, float, float, float]]:
    """A face's ellipses: middle, half axes, both in units of half its width, and brightness."""
    eyes = [
        feature
        for side in (-0.38, 0.38)
        for feature in (
            (side, -0.12, 0.24, 0.12, light * 0.72),
            (side, -0.10, 0.15, 0.07, 225.0),
            (side, -0.10, 0.075, 0.075, 30.0),
            (side, -0.30, 0.24, 0.05, hair),
        )
    ]
    return [
        (0, -0.25, 1.12, 1.3, hair),
        (0, 0.05, 0.9, 1.2, light),
        (0, 0.1, 0.55, 0.9, light * 1.08),
        *eyes,
        (0, 0.25, 0.1, 0.3, light * 1.12),
        (-0.1, 0.42, 0.07, 0.05, light * 0.5),
        (0.1, 0.42, 0.07, 0.05, light * 0.5),
        (0, 0.72, 0.32, 0.1, light * 0.55),
        (0, 0.7, 0.3, 0.03, light * 0.3),
    ]


def _photographed(
    picture: Image.Image, random: np.random.Generator, lights: tuple[tuple[int, float], ...]
) -> Image.Image:
    """A little out of focus, unevenly lit (cells of light and how much), with grain."""
    light = np.zeros(_PHOTO[::-1])
    for cells, amplitude in lights:
        grid = Image.fromarray(random.uniform(-1, 1, (cells, cells)).astype(np.float32))
        light += amplitude * np.asarray(grid.resize(_PHOTO, Image.Resampling.BICUBIC))
    grain = random.normal(0, 2.5, (*_PHOTO[::-1], 3))
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(_BLUR)))
    values = blurred * (1 + light)[..., None] + grain
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
