"""The images of a folder at the network's size: all of them in memory, or decoded as they come.

Both go through the code that serving uses, so that a network is trained on what it will see.
"""

import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from model_store.errors import ImageError
from model_store.images import decode_prepared
from model_store.preprocessing import Preprocessing, UInt8Image
from training.data.by_class import rows_by_class
from training.data.folders import ImageFolder, Item
from training.data.sources import Skipped
from training.errors import DataError
from training.threads import threads

Integers = npt.NDArray[np.int64]

_CHUNK = 32


class Pixels(Protocol):
    """Prepared images by index."""

    @property
    def folder(self) -> ImageFolder:
        """The images that can be used; index i is its item i."""
        ...

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The images found so far that cannot be decoded, with reasons."""
        ...

    def take(self, indices: Integers) -> torch.Tensor:
        """uint8 (len(indices), height, width, channels), freshly allocated; from any thread."""
        ...


class PixelsInMemory:
    """All images, decoded once.

    Args:
        folder: The images.
        images: uint8 (items, height, width, channels).
        skipped: What could not be decoded and is not in `folder` any more.
    """

    def __init__(
        self, folder: ImageFolder, images: torch.Tensor, skipped: tuple[Skipped, ...]
    ) -> None:
        self.folder = folder
        self.images = images
        self.skipped = skipped

    def take(self, indices: Integers) -> torch.Tensor:
        """As `Pixels.take`; on the device the images are on."""
        return self.images[torch.from_numpy(indices).to(self.images.device, non_blocking=True)]


class PixelsAsTheyCome:
    """Images decoded every time they are wanted, for data that does not fit into memory.

    An image that cannot be decoded gives way to the next one of its class, which depends on the
    files alone: two runs over the same files train on the same images.

    Args:
        folder: The images.
        spec: The network's size.
        workers: Threads that decode.
    """

    def __init__(self, folder: ImageFolder, spec: Preprocessing, workers: int) -> None:
        self.folder = folder
        self._spec = spec
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._skipped: dict[int, Skipped] = {}
        self._lock = threading.Lock()
        self._members = rows_by_class(folder.labels)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """As `Pixels.skipped`: those that were wanted so far."""
        with self._lock:
            return tuple(self._skipped[index] for index in sorted(self._skipped))

    def take(self, indices: Integers) -> torch.Tensor:
        """As `Pixels.take`.

        Raises:
            DataError: Of a class that is wanted, not one image can be decoded.
        """
        return torch.from_numpy(np.stack(list(self._pool.map(self._one, indices.tolist()))))

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _one(self, wanted: int) -> UInt8Image:
        for index in self._instead_of(wanted):
            with self._lock:
                if index in self._skipped:
                    continue
            prepared = prepared_item(self.folder, self.folder.items[index], self._spec)
            if not isinstance(prepared, Skipped):
                return prepared
            with self._lock:
                self._skipped[index] = prepared
        name = self.folder.classes[self.folder.items[wanted].label].name
        raise DataError(
            f"{self.folder.source}: not one image of class '{name}' can be decoded; mend the "
            "files or take the class away"
        )

    def _instead_of(self, wanted: int) -> Iterator[int]:
        members = self._members[self.folder.items[wanted].label]
        first = int(np.searchsorted(members, wanted))
        for step in range(len(members)):
            yield int(members[(first + step) % len(members)])


def load_pixels(
    folder: ImageFolder,
    spec: Preprocessing,
    *,
    budget: int,
    workers: int,
    on_progress: Callable[[int], None] | None = None,
) -> PixelsInMemory | PixelsAsTheyCome:
    """Decodes a folder into memory if it fits, and else as it is wanted.

    Args:
        folder: The images.
        spec: The network's size.
        budget: Bytes that the decoded images may take.
        workers: Threads that decode.
        on_progress: Told how many images are done.

    Raises:
        DataError: Not one image can be decoded.
    """
    if len(folder.items) * int(np.prod(spec.shape)) > budget:
        return PixelsAsTheyCome(folder, spec, workers)
    images = np.empty((len(folder.items), *spec.shape), dtype=np.uint8)
    skipped: dict[int, Skipped] = {}

    def decode(start: int) -> int:
        chunk = folder.items[start : start + _CHUNK]
        for index, item in enumerate(chunk, start):
            prepared = prepared_item(folder, item, spec)
            if isinstance(prepared, Skipped):
                skipped[index] = prepared
            else:
                images[index] = prepared
        return len(chunk)

    done = 0
    with threads(workers, "decode") as pool:
        for count in pool.map(decode, range(0, len(folder.items), _CHUNK)):
            done += count
            if on_progress is not None:
                on_progress(done)
    reasons = tuple(skipped[index] for index in sorted(skipped))
    if len(reasons) == len(folder.items):
        raise DataError(
            f"{folder.source}: not one image can be decoded ({reasons[0].shown}: "
            f"{reasons[0].reason}); check that the files are images"
        )
    if reasons:
        images = _moved_up(images, skipped)
        folder = folder.without({entry.key for entry in reasons})
    return PixelsInMemory(folder, torch.from_numpy(images), reasons)


def _moved_up(images: UInt8Image, gaps: Collection[int]) -> UInt8Image:
    """The images without those at the gaps, in the same memory.

    A copy would take twice the share of the free memory that they were allowed.
    """
    kept = [index for index in range(len(images)) if index not in gaps]
    for place, index in enumerate(kept):
        if place != index:
            images[place] = images[index]
    return images[: len(kept)]


def prepared_item(folder: ImageFolder, item: Item, spec: Preprocessing) -> UInt8Image | Skipped:
    """An image of a folder as the network takes it, or why it cannot be."""
    try:
        return decode_prepared(folder.read(item), spec)
    except (ImageError, DataError) as error:
        return Skipped(item.key, str(error))
