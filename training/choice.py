"""Choosing a recipe for data that nobody chose one for."""

import numpy as np

from model_store.errors import ImageError
from model_store.images import decode
from training.data.folders import ImageFolder
from training.errors import DataError

_LOOKED_AT = 64
_LONGEST_SIDE = 256
_GREY = 8
_NEAR = 48
_NEARLY_BINARY = 0.9


def choose_recipe(folder: ImageFolder) -> tuple[str, str]:
    """The recipe that suits some images, by what 64 of them look like.

    `glyphs` if at least nine in ten of them look like a character: no side above 256 pixels,
    grey, and at least 90 % of the pixels within 48 of black or white. Else `images`.

    Args:
        folder: The images; evenly spaced ones are looked at.

    Returns:
        The recipe's name, and the reason in words.
    """
    positions = np.unique(np.linspace(0, len(folder.items) - 1, _LOOKED_AT).astype(int))
    looks = [look for at in positions if (look := _is_glyph(folder, int(at))) is not None]
    share = sum(looks) / max(1, len(looks))
    seen = (
        f"{sum(looks)} of {len(looks)} images looked at are small, grey and nearly black and white"
    )
    if share >= 0.9:
        return "glyphs", f"{seen}, as drawn characters are"
    return "images", f"only {seen}" if looks else "no image could be looked at"


def _is_glyph(folder: ImageFolder, position: int) -> bool | None:
    """Whether an image looks like a character; None if it cannot be decoded."""
    try:
        image = decode(folder.read(folder.items[position]))
    except (ImageError, DataError):
        return None
    if max(image.size) > _LONGEST_SIDE:
        return False
    values = np.asarray(image.convert("RGB"), dtype=np.int16)
    if float(np.mean(np.ptp(values, axis=2) > _GREY)) > 1 - _NEARLY_BINARY:
        return False
    grey = values.mean(axis=2)
    return bool(np.mean((grey < _NEAR) | (grey > 255 - _NEAR)) >= _NEARLY_BINARY)
