"""Images by class, read from a folder or an archive; nothing is decoded here."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model_store.network import Side
from training.data.other_files import OtherFiles
from training.data.sources import Files, Skipped
from training.errors import DataError

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Item:
    """One image.

    Attributes:
        key: Its posix path below the folder of classes or groups; unique.
        label: Index into the folder's classes.
        side: Which image of a pair it can be; of account where a folder has both sides.
    """

    key: str
    label: int
    side: Side = Side.LEFT


@dataclass(frozen=True)
class ImageClass:
    """Images of one thing.

    Attributes:
        name: Unique: `s1` on two levels, `Greek/character01` on three; in Unicode's composed form
            (NFC), however its folder's name is stored, so that names of two folders compare.
        group: What it belongs to, such as an alphabet; empty on two levels.
    """

    name: str
    group: str = ""


@dataclass(frozen=True)
class ImageFolder:
    """Images by class; every class has at least one. Nothing is decoded here.

    Attributes:
        files: Where the images are read from.
        classes: In the order of their names.
        items: In the order of their keys.
        skipped: What was found and is not used, and why.
        other_files: Files that are not images by their name, left alone; counted by ending.
    """

    files: Files
    classes: tuple[ImageClass, ...]
    items: tuple[Item, ...]
    skipped: tuple[Skipped, ...] = ()
    other_files: OtherFiles = field(default_factory=OtherFiles)

    @property
    def source(self) -> Path:
        """The folder of classes or groups; inside an archive, written as if it were on disk."""
        return self.files.path

    @cached_property
    def labels(self) -> Indices:
        """int64 (items,): the class of every item."""
        return np.array([item.label for item in self.items], dtype=np.int64)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in their order."""
        return tuple(entry.name for entry in self.classes)

    @cached_property
    def group_names(self) -> tuple[str, ...]:
        """The groups, in the order of their names; one empty name on two levels."""
        return tuple(sorted({entry.group for entry in self.classes}))

    @cached_property
    def groups(self) -> Indices:
        """int64 (classes,): the group of every class, as an index into `group_names`."""
        index = {name: position for position, name in enumerate(self.group_names)}
        return np.array([index[entry.group] for entry in self.classes], dtype=np.int64)

    @property
    def two_sided(self) -> bool:
        """Whether there are images of both sides."""
        return bool(self.on_right.any())

    @cached_property
    def on_right(self) -> npt.NDArray[np.bool_]:
        """(items,): whether each item is on the right side."""
        return np.array([item.side is Side.RIGHT for item in self.items], dtype=np.bool_)

    def on(self, side: Side) -> "ImageFolder":
        """Only the items of one side, classes kept; all items where there is but one side."""
        if not self.two_sided:
            return self
        return replace(self, items=tuple(item for item in self.items if item.side is side))

    def read(self, item: Item) -> bytes:
        """The bytes of an image file; from any thread.

        Raises:
            DataError: They cannot be had; the message says why, not which.
        """
        return self.files.read(item.key)

    def subset(self, labels: Iterable[int]) -> "ImageFolder":
        """Only those classes, relabelled from 0, order of classes and items kept."""
        kept = sorted({int(label) for label in labels})
        position = {label: index for index, label in enumerate(kept)}
        return replace(
            self,
            classes=tuple(self.classes[label] for label in kept),
            items=tuple(
                replace(item, label=position[item.label])
                for item in self.items
                if item.label in position
            ),
        )

    def without(self, keys: Collection[str]) -> "ImageFolder":
        """All but those items; a class that has none left is gone too, and the rest relabelled."""
        dropped = frozenset(keys)
        return self.only(row for row, item in enumerate(self.items) if item.key not in dropped)

    def only(self, rows: Iterable[int]) -> "ImageFolder":
        """Only the items at those positions, order kept; a class that has none is gone too."""
        kept = sorted({int(row) for row in rows})
        return replace(self, items=tuple(self.items[row] for row in kept)).without_empty()

    def without_empty(self) -> "ImageFolder":
        """Only classes that have an item, relabelled from 0: `on` may leave others."""
        return self.subset(self.labels.tolist())

    @property
    def name(self) -> str:
        """What to call the source in a manifest, which is not to tell where on a machine it lay."""
        for parent in self.source.parents:
            if parent.is_file():
                return f"{parent.name}/{self.source.relative_to(parent).as_posix()}"
        return self.source.resolve().name

    def described(self) -> str:
        """How much there is, in words; of two sides, on each."""
        groups = len(self.group_names)
        right = int(self.on_right.sum())
        left = len(self.items) - right
        sides = f" ({left:,} left, {right:,} right)" if left and right else ""
        return f"{len(self.items):,} images{sides} of {len(self.classes):,} classes" + (
            f" in {groups} groups" if groups > 1 else ""
        )

    def digest(self) -> str:
        """SHA-256 over the sorted (key, SHA-256 of the bytes) of all items, hexadecimal.

        The same for a folder and a zip of it, with or without a wrapping folder. A file that
        cannot be read counts as that; whoever wants its image says so. All files are read, once:
        a folder stands for what they were then.
        """
        return self._digest

    @cached_property
    def _digest(self) -> str:
        total = hashlib.sha256()
        for item in sorted(self.items, key=lambda item: item.key):
            try:
                content = hashlib.sha256(self.read(item)).hexdigest()
            except DataError:
                content = "cannot be read"
            total.update(f"{item.key}\0{content}\n".encode())
        return total.hexdigest()
