"""What an image costs this CPU beside its network."""

from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image

from model_store.images import decode_prepared
from model_store.preprocessing import Preprocessing

_SPEC = Preprocessing(
    height=224, width=224, mode="RGB", resize="crop", mean=(0.5,) * 3, std=(0.5,) * 3
)
_SIZE = (464, 348)

ALL_TO_DECODING = 1.5
"""Decoding is two thirds of it, if caches hold what the network left there; HTTP, the queue and
Python take the rest (docs/performance.md, "On a CPU with AMX")."""


def decode_a_photo() -> None:
    """Decodes a photo of usual size and resizes it, as the service does."""
    decode_prepared(_photo(), _SPEC)


@cache
def _photo() -> bytes:
    y, x = np.mgrid[0 : _SIZE[1], 0 : _SIZE[0]]
    grey = 128 + 60 * np.sin(x / 23 + y / 31) + 40 * np.sin(x * y / 4000)
    pixels = np.stack([grey, grey[::-1], grey[:, ::-1]], axis=-1).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    return file.getvalue()
