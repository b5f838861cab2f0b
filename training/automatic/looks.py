"""What the images of a folder look like, by a few of them."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from model_store.errors import ImageError
from model_store.images import decode
from training.data.folders import ImageFolder
from training.errors import DataError

LOOKED_AT = 64
"""Images that are looked at, evenly spaced."""

_THUMBNAIL = 512
_COLOURED = 8
_NEAR = 48
_NEARLY_ALL = 0.9
_SAME_ASPECT = 0.1


@dataclass(frozen=True)
class Looks:
    """What was seen.

    Attributes:
        images: How many images could be looked at.
        ink: How many of them are ink on paper: grey, and at least 90 % of the pixels within 48 of
            black or white.
        dark_paper: Whether most of those have light ink on dark paper.
        grey: How many have no colour.
        long_side: The median longer side, in pixels.
        aspect: The median of width / height.
        one_aspect: Whether nine in ten images have that aspect, to a tenth.
    """

    images: int
    ink: int
    dark_paper: bool
    grey: int
    long_side: int
    aspect: float
    one_aspect: bool

    @property
    def all_ink(self) -> bool:
        """Whether these are drawings or writing: nine in ten images, at least."""
        return self.ink >= _NEARLY_ALL * self.images

    @property
    def all_grey(self) -> bool:
        """Whether nine in ten images have no colour."""
        return self.grey >= _NEARLY_ALL * self.images

    def described(self) -> str:
        """It in a sentence."""
        kind = (
            f"ink on {'dark' if self.dark_paper else 'light'} paper"
            if self.all_ink
            else "grey"
            if self.all_grey
            else "in colour"
        )
        shape = "of one shape" if self.one_aspect else "of several shapes"
        return (
            f"{self.images} images looked at are {kind} ({self.ink} of them drawn, {self.grey} "
            f"grey), {shape}, {self.long_side} pixels long in the median"
        )


def look(folder: ImageFolder) -> Looks:
    """Looks at evenly spaced images of a folder.

    Raises:
        DataError: Not one of them can be decoded.
    """
    positions = np.unique(np.linspace(0, len(folder.items) - 1, LOOKED_AT).astype(int))
    shapes, pixels = [], []
    for position in positions.tolist():
        try:
            image = decode(folder.read(folder.items[position]))
        except (ImageError, DataError):
            continue
        # Of each only what is looked at: 64 photos of 24 megapixels would take 6.5 GB.
        shapes.append(image.size)
        pixels.append(_pixels(image))
    if not pixels:
        raise DataError(
            f"{folder.source}: not one of {len(positions)} images looked at can be decoded; mend "
            "the files"
        )
    sizes = np.array(shapes, dtype=np.float64)
    aspects = sizes[:, 0] / sizes[:, 1]
    aspect = float(np.median(aspects))
    alike = np.abs(np.log(aspects / aspect)) <= np.log1p(_SAME_ASPECT)
    grey = [
        bool(np.mean(np.ptp(values, axis=2) > _COLOURED) <= 1 - _NEARLY_ALL) for values in pixels
    ]
    means = [values.mean(axis=2) for values in pixels]
    ink = [g and _is_ink(values) for g, values in zip(grey, means, strict=True)]
    drawn = [values for values, is_ink in zip(means, ink, strict=True) if is_ink]
    return Looks(
        images=len(pixels),
        ink=sum(ink),
        dark_paper=2 * sum(float(np.median(values)) < 128 for values in drawn) > len(drawn),
        grey=sum(grey),
        long_side=int(np.median(sizes.max(axis=1))),
        aspect=aspect,
        one_aspect=bool(np.mean(alike) >= _NEARLY_ALL),
    )


def _pixels(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    image = image.convert("RGB")
    if max(image.size) > _THUMBNAIL:
        # Every n-th pixel: an average would make grey of thin lines.
        image.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.NEAREST)
    return np.asarray(image, dtype=np.int16)


def _is_ink(grey: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> bool:
    return bool(np.mean((grey < _NEAR) | (grey > 255 - _NEAR)) >= _NEARLY_ALL)
