"""Folders of images as classes, on two levels (class/image) or three (group/class/image)."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from model_store.images import SUFFIXES
from training.data.folders import ImageClass, ImageFolder, Item
from training.data.other_files import OtherFiles, counted, told_other_files
from training.data.sources import Skipped, Source, open_source
from training.errors import DataError
from training.naming import composed, one_line

_TRAIN = ("train", "training")
_VALIDATION = ("val", "valid", "validation")
_OF_SPLITS = frozenset({*_TRAIN, *_VALIDATION, "test", "testing"})
_LAYOUTS = (
    "expected class/image, group/class/image, or either of these below train/ and val/ "
    "(a folder, or a zip of it)"
)


@dataclass(frozen=True)
class OpenedData:
    """What a data path holds: `whole`, or `train` and `validation`.

    Attributes:
        whole: All of it, where the folders make no split.
        train: What lies under `train/` or `training/`.
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
    validation folder, `train/` is the whole. A `train/` that holds images but no folders of them
    is a class of that name, if there are classes of other names beside it.

    Args:
        path: A folder, a zip archive, or a folder in an archive (`data.zip/inner/folder`).

    Raises:
        DataError: Nothing usable is there, or the parts of a split are, of which none trains; the
            message names the path and what is expected.
    """
    source = open_source(path)
    tree = _Tree.of(source)
    while (only := tree.only_top()) is not None:
        tree = tree.below(only)
    tops = tree.tops()
    # Of names that differ in case alone the one without capitals is taken: it is sorted last.
    by_name = {top.lower(): top for top in tops}
    train = next((by_name[name] for name in _TRAIN if name in by_name), None)
    if train is None or len(by_name) == 1 or not tree.below(train).tops():
        _check_no_parts(tree)
        return OpenedData(whole=tree.folder(tree.level()))
    validation = next((by_name[name] for name in _VALIDATION if name in by_name), None)
    left_out = tuple(top for top in tops if top not in (train, validation))
    learnt = tree.below(train)
    level = learnt.level()
    if validation is None:
        return OpenedData(whole=learnt.folder(level), left_out=left_out)
    return OpenedData(
        train=learnt.folder(level),
        validation=tree.below(validation).folder(level),
        left_out=left_out,
    )


def _check_no_parts(tree: "_Tree") -> None:
    """Refuses folders all called as parts of a split are, which would count as classes or groups.

    What is one class in two parts would be two then, one of which may train while the other
    judges.

    Raises:
        DataError: All are, and there are two or more.
    """
    tops = tree.tops()
    if len(tops) < 2 or not _OF_SPLITS.issuperset(top.lower() for top in tops):
        return
    where = tree.files.path
    raise DataError(
        f"{where}: {', '.join(tops)} are called as the parts of a split are, but there is no "
        f"train/ with class folders in it; give one of them, such as {where / tops[0]}, or rename "
        "them if they are classes or groups"
    )


@dataclass(frozen=True)
class _Tree:
    """A listing on the way to becoming an `ImageFolder`.

    Attributes:
        files: What is listed.
        images: Below the folders gone into.
        folders: Likewise.
        refused: Under their names in the whole source.
        others: Of the whole source.
        within: The folders gone into.
    """

    files: Source
    images: tuple[PurePosixPath, ...]
    folders: tuple[PurePosixPath, ...]
    refused: tuple[Skipped, ...]
    others: OtherFiles
    within: tuple[str, ...] = ()

    @staticmethod
    def of(source: Source) -> "_Tree":
        found = source.listing()
        paths = [PurePosixPath(key) for key in found.files]
        images = tuple(path for path in paths if path.suffix.lower() in SUFFIXES)
        others = counted(path for path in paths if path.suffix.lower() not in SUFFIXES)
        return _Tree(
            source,
            images,
            tuple(PurePosixPath(key) for key in found.folders),
            tuple(found.refused),
            others,
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

        # What is refused beside all of them is told with each: it would be told with none.
        beside = {(*self.within, other) for other in self.tops() if other != top}
        depth = len(self.within) + 1
        return replace(
            self,
            files=self.files.below(top),
            images=inside(self.images),
            folders=inside(self.folders),
            refused=tuple(
                entry
                for entry in self.refused
                if PurePosixPath(entry.key).parts[:depth] not in beside
            ),
            within=(*self.within, top),
        )

    def level(self) -> int:
        """2 for class/image, 3 for group/class/image: whichever most images are in."""
        depths = Counter(len(path.parts) for path in self.images)
        if not (depths[2] or depths[3]):
            raise DataError(f"{self.files.path}: {self._found()}; {_LAYOUTS}")
        return 2 if depths[2] >= depths[3] else 3

    def _found(self) -> str:
        """What there is in place of a known layout."""
        if self.images:
            depth = len(self.images[0].parts)
            where = "in no class folder" if depth == 1 else f"{depth - 1} folders deep"
            return f"images lie {where}, such as {one_line(str(self.images[0]))}"
        others = told_other_files(self.others)
        found = f"no images, but {others}" if others else "no images"
        if self.refused:
            entry = self.refused[0]
            found += f"; not read: {len(self.refused):,}, such as {entry.shown} ({entry.reason})"
        return found

    def folder(self, level: int) -> ImageFolder:
        skipped = list(self.refused)
        usable = []
        for path in self.images:
            if len(path.parts) == level:
                usable.append(path)
            else:
                skipped.append(Skipped(str(path), _misplaced(len(path.parts), level)))
        name_of = {path.parent: composed(str(path.parent)) for path in usable}
        names = sorted(set(name_of.values()))
        if not names:
            raise DataError(f"{self.files.path}: {self._found()}; {_LAYOUTS}")
        index = {name: position for position, name in enumerate(names)}
        # Of one whose images lie deeper it is said that they do.
        with_images = {parent for path in self.images for parent in path.parents}
        skipped.extend(
            Skipped(str(path), "an empty class: there is no image in it")
            for path in self.folders
            if len(path.parts) == level - 1 and path not in with_images
        )
        return ImageFolder(
            self.files,
            tuple(ImageClass(name, name.split("/")[0] if level == 3 else "") for name in names),
            tuple(Item(str(path), index[name_of[path.parent]]) for path in usable),
            tuple(skipped),
            self.others,
        )


def _misplaced(depth: int, level: int) -> str:
    layout = "class/image" if level == 2 else "group/class/image"
    where = "outside of any class folder" if depth < level else "below a class folder"
    return f"lies {where}: most images here are laid out as {layout}"
