"""Files of a folder on disk."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from training.data.sources.base import Listing, Skipped, check_size, hidden, printable, shown
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
            self._walk(self.path, "", frozenset(), found)
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

    def _walk(
        self, folder: Path, prefix: str, above: frozenset[tuple[int, int]], found: Listing
    ) -> None:
        status = folder.stat()
        here = (status.st_dev, status.st_ino)
        if here in above:
            found.refused.append(Skipped(prefix, "a link back to a folder that it lies in"))
            return
        if prefix:
            found.folders.append(prefix)
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                key = f"{prefix}/{entry.name}" if prefix else entry.name
                if hidden(entry.name):
                    continue
                if not printable(key):
                    found.refused.append(_unprintable(key))
                elif entry.is_dir():
                    self._walk(folder / entry.name, key, above | {here}, found)
                elif _special(entry):
                    found.refused.append(Skipped(key, _NOT_REGULAR))
                else:
                    found.files.append(key)


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
