"""Files of a folder on disk."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from training.data.sources.base import (
    HIDDEN_DEPTH,
    Listing,
    Skipped,
    check_size,
    hidden,
    hidden_image,
    printable,
    shown,
)
from training.errors import DataError

_NOT_REGULAR = "not a regular file, but a named pipe, a socket or a device"


@dataclass(frozen=True)
class FolderSource:
    """A folder on disk. Links are followed, but never round in a circle."""

    path: Path

    def listing(self) -> Listing:
        """See `Source.listing`."""
        found = Listing()
        try:
            # Not by recursion, which ends at folders about a thousand deep.
            open_ = [_Folder(self.path, "", frozenset())]
            while open_:
                open_.extend(reversed(_looked_through(open_.pop(), found)))
        except OSError as error:
            raise DataError(
                f"{error.filename or self.path} cannot be listed ({error.strerror}); "
                "mend its permissions or leave it out"
            ) from error
        return found.in_order()

    def read(self, key: str) -> bytes:
        """See `Source.read`."""
        path = self.path / key
        try:
            check_size(path.stat().st_size)
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"the file cannot be read ({error.strerror})") from error

    def below(self, prefix: str) -> "FolderSource":
        """See `Source.below`."""
        return FolderSource(self.path / prefix)


@dataclass(frozen=True)
class _Folder:
    """One that is still to be looked through.

    Attributes:
        path: Where it is.
        key: Its path inside the source; empty for the root.
        above: The folders that it lies in, as the system tells them apart.
    """

    path: Path
    key: str
    above: frozenset[tuple[int, int]]


def _looked_through(folder: _Folder, found: Listing) -> list[_Folder]:
    """Notes what is in one folder, and returns those below it."""
    status = folder.path.stat()
    here = (status.st_dev, status.st_ino)
    if here in folder.above:
        found.refused.append(Skipped(folder.key, "a link back to a folder that it lies in"))
        return []
    if folder.key:
        found.folders.append(folder.key)
    below = []
    with os.scandir(folder.path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            key = f"{folder.key}/{entry.name}" if folder.key else entry.name
            if hidden(entry.name):
                if image := _concealed(entry, shown(key)):
                    found.refused.append(image)
                continue
            if not printable(key):
                found.refused.append(_unprintable(key))
            elif entry.is_dir():
                below.append(_Folder(folder.path / entry.name, key, folder.above | {here}))
            elif _special(entry):
                found.refused.append(Skipped(key, _NOT_REGULAR))
            else:
                found.files.append(key)
    return below


def _concealed(entry: os.DirEntry[str], key: str) -> Skipped | None:
    """What is to be said of something hidden; of what cannot be looked into, nothing."""
    try:
        if not entry.is_dir():
            return hidden_image(key)
    except OSError:
        return None
    for folder, below, names in os.walk(entry.path):
        inside = Path(folder).relative_to(entry.path)
        # What systems hide may be as large as a disk.
        if len(inside.parts) + 1 == HIDDEN_DEPTH:
            below.clear()
        for name in names:
            if image := hidden_image(f"{key}/{shown((inside / name).as_posix())}"):
                return image
    return None


def _special(entry: os.DirEntry[str]) -> bool:
    """Whether reading it would not end, or never begin: a named pipe, a socket or a device."""
    if entry.is_file(follow_symlinks=False):
        return False
    try:
        return not stat.S_ISREG(entry.stat().st_mode)
    except OSError:
        return False  # Such as a link that leads nowhere: reading says why it cannot be read.


def _unprintable(key: str) -> Skipped:
    return Skipped(shown(key), "its name is not valid Unicode; rename it")
