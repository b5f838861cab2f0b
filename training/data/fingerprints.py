"""What an image file is known by: its bytes, and what it looks like in 32 x 32 grey values."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.errors import ImageError
from model_store.images import decode_prepared
from model_store.preprocessing import Preprocessing
from training.data.folders import ImageFolder, Item
from training.data.sources import Skipped
from training.errors import DataError
from training.threads import threads

_SIDE = 32
_KEPT = 8
_LOOK = Preprocessing(height=_SIDE, width=_SIDE, mode="L", mean=(0.0,), std=(1.0,))

# Bits of the hash that may differ, and the correlation that is then asked for.
_CLOSE, _NEARLY_THE_SAME = 2, 0.98
_NEAR, _THE_SAME = 8, 0.995
_FLAT = 2.0
# So few rows that their pairs with 20,000 others fit into memory, were all of them alike.
_ROWS = 256
# The share of all pairs from which on it is faster to correlate all than to gather those.
_MANY = 1 / 64
_GATHERED = 16_384

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fingerprints:
    """Of some images of a folder.

    Attributes:
        items: The images.
        digests: SHA-256 of each file's bytes, hexadecimal.
        looks: float32 (N, 1024), grey values 0–255 of what each looks like.
        bits: float32 (N, 64) of ±1: the perceptual hash of each.
        unusable: Images that are not among them, as they cannot be read or decoded.
    """

    items: tuple[Item, ...]
    digests: tuple[str, ...]
    looks: Floats
    bits: Floats
    unusable: tuple[Skipped, ...] = ()


def take_fingerprints(
    folder: ImageFolder,
    items: tuple[Item, ...],
    *,
    workers: int,
    on_progress: Callable[[int], None] | None = None,
) -> Fingerprints:
    """Reads images.

    Args:
        folder: Where they are.
        items: Which ones.
        workers: Threads that decode.
        on_progress: Told how many images are done.
    """
    found: list[tuple[Item, str, npt.NDArray[np.uint8]]] = []
    unusable: list[Skipped] = []
    with threads(workers, "fingerprint") as pool:
        for done, taken in enumerate(pool.map(lambda item: _taken(folder, item), items), 1):
            if isinstance(taken, Skipped):
                unusable.append(taken)
            else:
                found.append(taken)
            if on_progress is not None and (done % 64 == 0 or done == len(items)):
                on_progress(done)
    looks: Floats = np.empty((len(found), _SIDE, _SIDE), dtype=np.float32)
    for position, (_, _, look) in enumerate(found):
        looks[position] = look[:, :, 0]
    return Fingerprints(
        tuple(item for item, _, _ in found),
        tuple(digest for _, digest, _ in found),
        looks.reshape(len(found), _SIDE * _SIDE),
        perceptual_hash(looks),
        tuple(unusable),
    )


def perceptual_hash(looks: Floats) -> Floats:
    """64 bits an image: which of its lowest frequencies are above their median.

    The 8 x 8 lowest frequencies of the discrete cosine transform, but for the mean (Zauner 2010,
    "Implementation and benchmarking of perceptual image hash functions", section 3.2.1). Of
    drawings on white paper, half of the bits are set as of photographs.

    Args:
        looks: (N, 32, 32), grey values.

    Returns:
        float32 (N, 64) of −1 and 1; the Hamming distance of two is (64 − their product) / 2.
    """
    steps, frequencies = np.arange(_SIDE), np.arange(_KEPT)
    basis = np.cos(np.pi / _SIDE * (steps + 0.5) * frequencies[:, None]).astype(np.float32)
    low = (basis @ looks @ basis.T).reshape(len(looks), _KEPT * _KEPT)
    low[:, 0] = 0
    median = np.median(low[:, 1:], axis=1, keepdims=True)
    return np.where(low > median, 1, -1).astype(np.float32)


def near_pairs(ours: Fingerprints, others: Fingerprints) -> Iterator[Indices]:
    """Images that look the same in both: other bytes, perhaps, but no other picture.

    The hashes differ in 8 bits of 64 at most, and the looks correlate by 0.995 at least; or in 2
    bits, and by 0.98, which thin lines need that were encoded anew. A hash alone would take simple
    drawings of different things for the same.

    Yields:
        int64 (P, 2), positions in `ours` and in `others`, in order: those of some of ours at a
        time, as of pictures that all look alike there are more than memory holds.
    """
    standard = _standardised(others.looks)
    for start in range(0, len(ours.bits), _ROWS):
        product = ours.bits[start : start + _ROWS] @ others.bits.T
        rows, columns = np.nonzero(product >= 64 - 2 * _NEAR)
        close = product[rows, columns] >= 64 - 2 * _CLOSE
        mine = _standardised(ours.looks[start : start + _ROWS])
        if len(rows) > _MANY * product.size:
            correlation = (mine @ standard.T)[rows, columns]
        else:
            correlation = _gathered(mine, standard, rows, columns)
        kept = correlation >= np.where(close, _NEARLY_THE_SAME, _THE_SAME)
        if kept.any():
            yield np.stack([rows[kept] + start, columns[kept]], 1)


def _gathered(mine: Floats, others: Floats, rows: Indices, columns: Indices) -> Floats:
    """The products of those rows with those columns, a few at a time."""
    found: Floats = np.empty(len(rows), dtype=np.float32)
    for at in range(0, len(rows), _GATHERED):
        some = slice(at, at + _GATHERED)
        found[some] = np.einsum("ij,ij->i", mine[rows[some]], others[columns[some]])
    return found


def _standardised(looks: Floats) -> Floats:
    """Mean 0 and length 1 each; an image all but flat becomes 0, and is like no other."""
    centred = looks - looks.mean(1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    flat = length < _FLAT * _SIDE
    standard: Floats = np.where(flat, 0, centred / np.where(flat, 1, length)).astype(np.float32)
    return standard


def _taken(folder: ImageFolder, item: Item) -> tuple[Item, str, npt.NDArray[np.uint8]] | Skipped:
    try:
        content = folder.read(item)
        return item, hashlib.sha256(content).hexdigest(), decode_prepared(content, _LOOK)
    except (ImageError, DataError) as error:
        return Skipped(item.key, str(error))
