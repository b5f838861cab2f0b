"""What an image costs this CPU beside its network."""

from functools import cache, partial
from io import BytesIO

import numpy as np
from PIL import Image

from app.inference.engines.timing import best_of
from model_store.images import decode_prepared
from model_store.preprocessing import Preprocessing

_SPEC = Preprocessing(
    height=224, width=224, mode="RGB", resize="crop", mean=(0.5,) * 3, std=(0.5,) * 3
)
_SIZE = (464, 348)
_TURNS = 20
_ALL_TO_DECODING = 3.0
"""Decoding is a third of it: as much again goes to caches that others use in between, and HTTP, the
queue and Python take the rest (docs/performance.md, "Where an image's time goes")."""


@cache
def beside_seconds() -> float:
    """CPU time that an image of usual size costs beside its network: decoding, HTTP, Python.

    Told from what decoding and resizing a photo takes at best, once a process: CPUs differ in it
    by more than two times.
    """
    y, x = np.mgrid[0 : _SIZE[1], 0 : _SIZE[0]]
    grey = 128 + 60 * np.sin(x / 23 + y / 31) + 40 * np.sin(x * y / 4000)
    pixels = np.stack([grey, grey[::-1], grey[:, ::-1]], axis=-1).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    (best,) = best_of((partial(decode_prepared, file.getvalue(), _SPEC),), turns=_TURNS)
    return _ALL_TO_DECODING * best
