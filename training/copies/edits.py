"""What is done to pictures that are passed on. A new edit is one function and one line here.

The kinds are those of the benchmarks of copy detection: Copydays (Douze et al. 2009, *Evaluation of
GIST descriptors for web-scale image search*) and DISC21 (Douze et al. 2021, arXiv 2106.09672).
"""

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Edit = Callable[[Image.Image, np.random.Generator], Image.Image]
"""Gives back a changed picture and leaves the one given, which is RGB, as it is."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789     "
_LEAST_LETTER = 10


def crop(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    """A part of it: 40 to 85 % of the area, the sides' ratio changed by up to a third."""
    side, stretch = draw.uniform(0.4, 0.85) ** 0.5, draw.uniform(0.87, 1.15)
    width = min(image.width, max(1, round(image.width * side * stretch)))
    height = min(image.height, max(1, round(image.height * side / stretch)))
    left = int(draw.integers(image.width - width, endpoint=True))
    top = int(draw.integers(image.height - height, endpoint=True))
    return image.crop((left, top, left + width, top + height))


def small(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    """At 20 to 60 % of its size."""
    share = draw.uniform(0.2, 0.6)
    return image.resize(
        (max(1, round(image.width * share)), max(1, round(image.height * share))),
        Image.Resampling.BILINEAR,
    )


def colours(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    """Brightness, contrast and saturation, each at 60 to 150 %."""
    for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = kind(image).enhance(draw.uniform(0.6, 1.5))
    return image


def grey(image: Image.Image, draw: np.random.Generator) -> Image.Image:  # noqa: ARG001 (an `Edit`)
    """Without colour."""
    return ImageOps.grayscale(image).convert("RGB")


def mirror(image: Image.Image, draw: np.random.Generator) -> Image.Image:  # noqa: ARG001
    """Left and right exchanged."""
    return ImageOps.mirror(image)


def turn(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    """Turned by 2 to 12 degrees either way, black or white beyond its edges, or cut at them."""
    return image.rotate(
        float(draw.choice((-1, 1)) * draw.uniform(2, 12)),
        Image.Resampling.BILINEAR,
        expand=bool(draw.integers(2)),
        fillcolor=("black", "white")[int(draw.integers(2))],
    )


def blur(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    """Blurred, with a deviation of 0.4 to 1 % of the shorter side."""
    return image.filter(ImageFilter.GaussianBlur(draw.uniform(0.004, 0.01) * min(image.size)))


def noise(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    """With noise of a deviation of 8 to 24 values of 255."""
    values = np.asarray(image, dtype=np.float32)
    noisy = values + draw.normal(0.0, draw.uniform(8, 24), values.shape)
    return Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def text(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    """One to three lines of letters on it, each 5 to 14 % of its height."""
    image = image.copy()
    for _ in range(draw.integers(1, 4)):
        letters = "".join(draw.choice(list(_LETTERS), size=draw.integers(5, 21)))
        size = max(_LEAST_LETTER, round(image.height * draw.uniform(0.05, 0.14)))
        place = (image.width * draw.uniform(0, 0.6), image.height * draw.uniform(0, 0.9))
        font = ImageFont.load_default(size)
        ImageDraw.Draw(image).text(place, letters, fill=_colour(draw), font=font)
    return image


def patch(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    """A rectangle or an ellipse of one colour on it, its sides 20 to 45 % of the picture's."""
    image = image.copy()
    width, height = image.width * draw.uniform(0.2, 0.45), image.height * draw.uniform(0.2, 0.45)
    left, top = draw.uniform(0, image.width - width), draw.uniform(0, image.height - height)
    pen = ImageDraw.Draw(image)
    shape = pen.rectangle if draw.integers(2) else pen.ellipse
    shape((left, top, left + width, top + height), fill=_colour(draw))
    return image


def frame(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    """Somewhere on one colour, of 1.15 to 1.7 times its width and up to 1.7 times its height."""
    width = max(image.width, round(image.width * draw.uniform(1.15, 1.7)))
    height = max(image.height, round(image.height * draw.uniform(1.0, 1.7)))
    framed = Image.new("RGB", (width, height), _colour(draw))
    left = int(draw.integers(width - image.width, endpoint=True))
    top = int(draw.integers(height - image.height, endpoint=True))
    framed.paste(image, (left, top))
    return framed


def _colour(draw: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = draw.integers(256, size=3).tolist()
    return red, green, blue


EDITS: Mapping[str, Edit] = {
    "blur": blur,
    "colours": colours,
    "crop": crop,
    "frame": frame,
    "grey": grey,
    "mirror": mirror,
    "noise": noise,
    "patch": patch,
    "small": small,
    "text": text,
    "turn": turn,
}
