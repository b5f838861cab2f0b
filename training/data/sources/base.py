"""What every source of files offers, and what of its files is passed over."""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from model_store.images import SUFFIXES
from training.errors import DataError
from training.naming import one_line

MAX_FILE_BYTES = 256 * 1024 * 1024
"""A larger file is not read: no image within the pixel limit needs it, and memory has an end."""

HIDDEN_DEPTH = 2
"""So deep below a hidden folder an image may lie: it may be a class, or a group of some."""

_JUNK = frozenset({"__MACOSX"})
_SYSTEMS = frozenset({".AppleDouble", ".@__thumb", ".ipynb_checkpoints", ".thumbnails", *_JUNK})
"""Folders in which systems and tools keep copies of what is elsewhere."""


@dataclass(frozen=True)
class Skipped:
    """Something found and not used.

    Attributes:
        key: Its path inside the source.
        reason: Why, in words for the user.
    """

    key: str
    reason: str

    @property
    def shown(self) -> str:
        """Its key as it can be written in a line."""
        return one_line(self.key)


@dataclass
class Listing:
    """What a source holds, hidden files apart.

    Attributes:
        files: Posix paths of all files, sorted.
        folders: Posix paths of all folders, sorted; the root is not among them.
        refused: Entries that may not be read, and hidden ones that look like data.
    """

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    refused: list[Skipped] = field(default_factory=list)

    def in_order(self) -> "Listing":
        """The same, as the attributes promise it."""
        return Listing(sorted(self.files), sorted(self.folders), self.refused)


class Files(Protocol):
    """Files by their posix paths."""

    @property
    def path(self) -> Path:
        """What a user would type to name it."""
        ...

    def read(self, key: str) -> bytes:
        """The bytes of one file; from any thread. Raises DataError if they cannot be had."""
        ...


class Source(Files, Protocol):
    """A tree of files."""

    def listing(self) -> Listing:
        """All that is there. Raises DataError if that cannot be told."""
        ...

    def below(self, prefix: str) -> "Source":
        """The part of the tree under a folder of it; keys are then relative to that."""
        ...


def hidden(name: str) -> bool:
    """Whether a file or folder of that name is nobody's data."""
    return name.startswith(".") or name in _JUNK


def hidden_image(key: str) -> Skipped | None:
    """What is to be said of a hidden file: a class may be called `.NET`, and was not used.

    Args:
        key: Its path, of which a part is hidden.

    Returns:
        Nothing where it is no image, or none that would be of a class: systems keep whole trees in
        hidden folders, and of every file a `._` one.
    """
    parts = PurePosixPath(key).parts
    first = next(number for number, part in enumerate(parts) if hidden(part))
    inside = len(parts) - 1 - first
    systems = any(part in _SYSTEMS or part.startswith(("._", ".Trash")) for part in parts)
    if systems or inside > HIDDEN_DEPTH or PurePosixPath(key).suffix.lower() not in SUFFIXES:
        return None
    if not inside:
        return Skipped(key, "a hidden image; if it is data, rename it, without the dot in front")
    return Skipped(
        "/".join(parts[: first + 1]),
        "a hidden folder with images in it; if they are data, rename it, without the dot in front",
    )


def printable(name: str) -> bool:
    """Whether a name is valid Unicode."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(name: str) -> str:
    """A name as it can be written anywhere: as `one_line`, and so for what is no valid Unicode."""
    return one_line(name.encode(errors="backslashreplace").decode())


def check_size(size: int) -> None:
    """Refuses to read a file of more bytes than `MAX_FILE_BYTES`.

    Raises:
        DataError: It has more.
    """
    if size > MAX_FILE_BYTES:
        raise DataError(f"the file has {size:,} bytes, over the limit of {MAX_FILE_BYTES:,}")
