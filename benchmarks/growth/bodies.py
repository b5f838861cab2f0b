"""Requests to send, written to folders for the load generator."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.load import Message, multipart

_QUALITY = 88
_GRAIN = 5


def embed(images: Sequence[bytes], model: str = "photos") -> bytes:
    """`POST /embed` of several JPEGs in one request.

    Args:
        images: Files.
        model: Which one embeds them.
    """
    parts = [("images", "image/jpeg", image) for image in images]
    return multipart(f"/embed?model={model}", parts).encode()


def embed_raw(image: bytes, model: str = "photos") -> bytes:
    """`POST /embed` of one JPEG as it is."""
    return Message(f"/embed?model={model}", "image/jpeg", image).encode()


def compare_many(query: bytes, candidates: npt.NDArray[np.float32], model: str) -> bytes:
    """`POST /compare/many` of a JPEG with raw embeddings.

    Args:
        query: The file.
        candidates: (N, dimension).
        model: Whose embeddings they are.
    """
    raw = candidates.astype("<f4").tobytes()
    parts = [("query", "image/jpeg", query), ("embeddings", "application/octet-stream", raw)]
    return multipart(f"/compare/many?model={model}", parts).encode()


def enlarged(photo: bytes, side: int, seed: int) -> bytes:
    """A photo at another size, with the grain that cameras leave, as JPEG.

    Args:
        photo: The file.
        side: Pixels of the longer side.
        seed: Of the grain.
    """
    image = Image.open(io.BytesIO(photo)).convert("RGB")
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.resize(size, Image.Resampling.BICUBIC)
    random = np.random.default_rng(seed)
    grain = random.integers(-_GRAIN, _GRAIN + 1, (size[1], size[0], 3), dtype=np.int16)
    values = np.clip(np.asarray(image, np.int16) + grain, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def write(folder: Path, requests: Sequence[bytes]) -> Path:
    """Puts requests where the load generator finds them; gives the folder back."""
    folder.mkdir(parents=True)
    for index, request in enumerate(requests):
        (folder / f"{index:04}").write_bytes(request)
    return folder
