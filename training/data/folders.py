"""Folders of images as classes, on two levels (class/image) or three (group/class/image)."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from model_store.images import SUFFIXES
from model_store.network import Side
from training.data.sources import PairSource, Skipped, Source, open_source
from training.errors import DataError

__all__ = [
    "ImageClass",
    "ImageFolder",
    "Item",
    "OpenedData",
    "Skipped",
    "join_sides",
    "open_data",
]

Indices = npt.NDArray[np.int64]

_TRAIN = "train"
_VALIDATION = ("val", "valid", "validation")
_LAYOUTS = (
    "expected class/image, group/class/image, or either of these below train/ and val/ "
    "(a folder, or a zip of it)"
)


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
        name: Unique: `s1` on two levels, `Greek/character01` on three.
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
        other_files: Files that are not images by their name, left alone.
    """

    files: Source
    classes: tuple[ImageClass, ...]
    items: tuple[Item, ...]
    skipped: tuple[Skipped, ...] = ()
    other_files: int = 0

    @property
    def source(self) -> Path:
        """The folder of classes or groups; inside an archive, written as if it were on disk."""
        return self.files.path

    @cached_property
    def labels(self) -> Indices:
        """int64 (items,): the class of every item."""
        return np.array([item.label for item in self.items], dtype=np.int64)

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
        rest = replace(self, items=tuple(item for item in self.items if item.key not in dropped))
        return rest.subset(rest.labels.tolist())

    @property
    def name(self) -> str:
        """What to call the source in a manifest, which is not to tell where on a machine it lay."""
        for parent in self.source.parents:
            if parent.is_file():
                return f"{parent.name}/{self.source.relative_to(parent).as_posix()}"
        return self.source.resolve().name

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


@dataclass(frozen=True)
class OpenedData:
    """What a data path holds: `whole`, or `train` and `validation`.

    Attributes:
        whole: All of it, where the folders make no split.
        train: What lies under `train/`.
        validation: What lies under `val/`, `valid/` or `validation/`.
        left_out: Top folders beside those, not used.
    """

    whole: ImageFolder | None = None
    train: ImageFolder | None = None
    validation: ImageFolder | None = None
    left_out: tuple[str, ...] = ()


def open_data(path: Path) -> OpenedData:
    """Finds the classes and images at a path, without decoding any.

    A single folder around everything is looked through. Where there is a `train/` folder but no
    validation folder, `train/` is the whole.

    Args:
        path: A folder, a zip archive, or a folder in an archive (`data.zip/inner/folder`).

    Raises:
        DataError: Nothing usable is there; the message names the path and what is expected.
    """
    source = open_source(path)
    tree = _Tree.of(source)
    while (only := tree.only_top()) is not None:
        tree = tree.below(only)
    by_name = {top.lower(): top for top in tree.tops()}
    if _TRAIN not in by_name or len(by_name) == 1:
        return OpenedData(whole=tree.folder(tree.level()))
    train = by_name.pop(_TRAIN)
    validation = next((by_name.pop(name) for name in _VALIDATION if name in by_name), None)
    left_out = tuple(sorted(by_name.values()))
    learnt = tree.below(train)
    level = learnt.level()
    if validation is None:
        return OpenedData(whole=learnt.folder(level), left_out=left_out)
    return OpenedData(
        train=learnt.folder(level),
        validation=tree.below(validation).folder(level),
        left_out=left_out,
    )


def join_sides(left: ImageFolder, right: ImageFolder) -> ImageFolder:
    """Two folders as one whose images know their side; only classes, by name, that both have.

    Classes of one side alone are among `skipped`, each with how much it has.

    Args:
        left: Images that are the first of a pair, such as photos.
        right: Images that are the second, such as catalogue pictures.

    Raises:
        DataError: They have no class in common.
    """
    names = [{entry.name for entry in folder.classes} for folder in (left, right)]
    if not names[0] & names[1]:
        raise DataError(
            f"{left.source} and {right.source} have no class in common; folders of one class must "
            "have one name on both sides"
        )
    parts, items, skipped = [], [], []
    for folder, other, side in ((left, right, Side.LEFT), (right, left, Side.RIGHT)):
        shared = {entry.name for entry in other.classes}
        labels = [n for n, entry in enumerate(folder.classes) if entry.name in shared]
        part = folder.subset(labels)
        parts.append(part)
        items += [Item(f"{side}/{item.key}", item.label, side) for item in part.items]
        skipped += [Skipped(f"{side}/{entry.key}", entry.reason) for entry in folder.skipped]
        skipped += [
            Skipped(f"{side}/{entry.name}", f"a class that {other.source} does not have")
            for entry in folder.classes
            if entry.name not in shared
        ]
    return ImageFolder(
        PairSource(left.files, right.files),
        parts[0].classes,
        tuple(items),
        tuple(skipped),
        left.other_files + right.other_files,
    )


@dataclass(frozen=True)
class _Tree:
    """A listing on the way to becoming an `ImageFolder`."""

    files: Source
    images: tuple[PurePosixPath, ...]
    folders: tuple[PurePosixPath, ...]
    refused: tuple[Skipped, ...]
    others: int

    @staticmethod
    def of(source: Source) -> "_Tree":
        found = source.listing()
        paths = [PurePosixPath(key) for key in found.files]
        images = tuple(path for path in paths if path.suffix.lower() in SUFFIXES)
        return _Tree(
            source,
            images,
            tuple(PurePosixPath(key) for key in found.folders),
            tuple(found.refused),
            len(paths) - len(images),
        )

    def tops(self) -> list[str]:
        return sorted({path.parts[0] for path in self.images if len(path.parts) > 1})

    def only_top(self) -> str | None:
        """The folder that wraps everything, if there is one and classes remain below it."""
        tops = {path.parts[0] for path in self.images}
        depth = min((len(path.parts) for path in self.images), default=0)
        return tops.pop() if len(tops) == 1 and depth > 2 else None

    def below(self, top: str) -> "_Tree":
        def inside(paths: Sequence[PurePosixPath]) -> tuple[PurePosixPath, ...]:
            return tuple(
                path.relative_to(top)
                for path in paths
                if path.parts[0] == top and len(path.parts) > 1
            )

        return replace(
            self,
            files=self.files.below(top),
            images=inside(self.images),
            folders=inside(self.folders),
        )

    def level(self) -> int:
        """2 for class/image, 3 for group/class/image: whichever most images are in."""
        depths = Counter(len(path.parts) for path in self.images)
        if not (depths[2] or depths[3]):
            found = "no images" if not self.images else f"images like {self.images[0]}"
            raise DataError(f"{self.files.path}: {found}; {_LAYOUTS}")
        return 2 if depths[2] >= depths[3] else 3

    def folder(self, level: int) -> ImageFolder:
        skipped = list(self.refused)
        usable = []
        for path in self.images:
            if len(path.parts) == level:
                usable.append(path)
            else:
                skipped.append(Skipped(str(path), _misplaced(len(path.parts), level)))
        names = sorted({str(path.parent) for path in usable})
        if not names:
            raise DataError(f"{self.files.path}: no images; {_LAYOUTS}")
        index = {name: position for position, name in enumerate(names)}
        skipped.extend(
            Skipped(str(path), "an empty class: there is no image in it")
            for path in self.folders
            if len(path.parts) == level - 1 and str(path) not in index
        )
        return ImageFolder(
            self.files,
            tuple(ImageClass(name, name.split("/")[0] if level == 3 else "") for name in names),
            tuple(Item(str(path), index[str(path.parent)]) for path in usable),
            tuple(skipped),
            self.others,
        )


def _misplaced(depth: int, level: int) -> str:
    layout = "class/image" if level == 2 else "group/class/image"
    where = "outside of any class folder" if depth < level else "below a class folder"
    return f"lies {where}: most images here are laid out as {layout}"
