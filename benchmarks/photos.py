"""The images that benchmarks work on."""

import io
import zipfile

import numpy as np
from PIL import Image

from benchmarks.data import data_folder

_SIZE = (400, 533)


def load_photos(count: int) -> tuple[list[bytes], str]:
    """JPEG files: Grocery Store photos where `TWINLENS_DATA` has them, else drawn ones.

    Returns:
        The files, and what they are.
    """
    archive = data_folder() / "grocery_store" / "grocery_store.zip"
    if not archive.is_file():
        return [_draw(seed) for seed in range(count)], (
            f"{count} drawn JPEGs of {_SIZE[0]}x{_SIZE[1]} (no Grocery Store photos found)"
        )
    with zipfile.ZipFile(archive) as bundle:
        names = sorted(n for n in bundle.namelist() if "/train/" in n and n.endswith(".jpg"))
        chosen = [names[round(i * (len(names) - 1) / (count - 1))] for i in range(count)]
        files = [bundle.read(name) for name in chosen]
    mean = sum(map(len, files)) / len(files) / 1000
    return files, f"{count} Grocery Store photos, {mean:.0f} kB in the mean"


def _draw(seed: int) -> bytes:
    """A JPEG with about as much detail as a photo of that size."""
    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(0, 256, (20, 15, 3), dtype=np.uint8))
    image = image.resize(_SIZE, Image.Resampling.BICUBIC)
    noise = random.normal(0, 6, (_SIZE[1], _SIZE[0], 3))
    values = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
