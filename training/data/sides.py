"""The images of two sides, such as photos and catalogue pictures, as one folder."""

from pathlib import Path

from model_store.network import Side
from training.data.folders import ImageFolder, Item
from training.data.sources import Files, Skipped
from training.errors import DataError


def join_sides(left: ImageFolder, right: ImageFolder) -> ImageFolder:
    """Two folders as one whose images know their side; only classes, by name, that both have.

    Classes of one side alone are among `skipped`, each with how much it has.

    Args:
        left: Images that are the first of a pair, such as photos.
        right: Images that are the second, such as catalogue pictures.

    Raises:
        DataError: They have no class in common, or are the same folder.
    """
    if left.source.resolve() == right.source.resolve():
        # The sides' images are told apart by side, so that nothing later would see it.
        raise DataError(
            f"{left.source} is on both sides, where every image would be paired with itself, which "
            "flatters any model; give --right the pictures of the other side, or leave it out and "
            "take a recipe of one branch, which compares the images of --data among themselves"
        )
    shared = set(left.class_names) & set(right.class_names)
    if not shared:
        raise DataError(
            f"{left.source} and {right.source} have no class in common; folders of one class must "
            "have one name on both sides"
        )
    parts, items, skipped = [], [], []
    for folder, other, side in ((left, right, Side.LEFT), (right, left, Side.RIGHT)):
        part = folder.subset(n for n, name in enumerate(folder.class_names) if name in shared)
        parts.append(part)
        items += [Item(f"{side}/{item.key}", item.label, side) for item in part.items]
        skipped += [Skipped(f"{side}/{entry.key}", entry.reason) for entry in folder.skipped]
        skipped += [
            Skipped(f"{side}/{name}", f"a class that {other.source} does not have")
            for name in folder.class_names
            if name not in shared
        ]
    return ImageFolder(
        _BothSides(left.files, right.files),
        parts[0].classes,
        tuple(items),
        tuple(skipped),
        left.other_files + right.other_files,
    )


class _BothSides:
    """The files of two folders: the keys of the left one below `left/`, the others `right/`."""

    def __init__(self, left: Files, right: Files) -> None:
        self._sides: dict[str, Files] = {Side.LEFT: left, Side.RIGHT: right}

    @property
    def path(self) -> Path:
        """That of the left files."""
        return self._sides[Side.LEFT].path

    def read(self, key: str) -> bytes:
        """See `Files.read`."""
        side, _, inner = key.partition("/")
        return self._sides[side].read(inner)
