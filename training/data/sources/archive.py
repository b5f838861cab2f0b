"""Files of a zip archive, read as it is."""

import os
import threading
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from training.data.sources.base import Listing, Skipped, check_size, hidden, hidden_image, printable
from training.errors import DataError


class _Opened(NamedTuple):
    process: int
    archive: zipfile.ZipFile
    separator: str
    spelt: dict[str, str]
    """Names as the archive has them, by what they come to, where that is another."""


class ZipSource:
    """A folder inside a zip archive; nothing is ever extracted.

    Every thread of every process opens the archive for itself, so that reads neither wait for one
    another nor share a file position after a fork.

    Windows PowerShell packs archives whose names have backslashes throughout; these are taken for
    the slashes that they stand for. In an archive that has slashes too, a backslash is refused.
    `./a//b`, as some packers have it, is taken for `a/b`.
    """

    def __init__(self, archive: Path, prefix: str = "") -> None:
        self.archive = archive
        self.prefix = prefix
        self._opened = threading.local()

    def __getstate__(self) -> tuple[Path, str]:
        return (self.archive, self.prefix)

    def __setstate__(self, state: tuple[Path, str]) -> None:
        self.archive, self.prefix = state
        self._opened = threading.local()

    @property
    def path(self) -> Path:
        """The archive, and the folder inside it as if it were one on disk."""
        return self.archive / self.prefix

    def listing(self) -> Listing:
        """See `Source.listing`. Names that point outside the archive are refused one by one."""
        refused: list[Skipped] = []
        concealed: dict[Skipped, None] = {}
        seen: set[str] = set()
        folders: set[str] = set()
        opened = self._zip()
        for info in opened.archive.infolist():
            name = info.filename.replace(opened.separator, "/")
            reason = _unsafe(name)
            if reason:
                refused.append(Skipped(name.encode(errors="replace").decode(), reason))
                continue
            key = self._relative(_plain(name))
            if key is None:
                continue
            if any(hidden(part) for part in PurePosixPath(key).parts):
                if not name.endswith("/") and (image := hidden_image(key)):
                    concealed[image] = None
                continue
            folders.update(_parents(key))
            if name.endswith("/"):
                folders.add(key)
            elif key in seen:
                refused.append(Skipped(key, "the archive has this name twice"))
            else:
                seen.add(key)
        return Listing(list(seen), list(folders), [*refused, *concealed]).in_order()

    def read(self, key: str) -> bytes:
        """See `Source.read`."""
        name = f"{self.prefix}/{key}" if self.prefix else key
        try:
            opened = self._zip()
            info = opened.archive.getinfo(opened.spelt.get(name, name))
            check_size(info.file_size)
            return opened.archive.read(info)
        except DataError:
            raise
        except Exception as error:
            # Every compression has errors of its own, and damage leads to many others.
            raise DataError(f"cannot be read from the archive ({error})") from error

    def below(self, prefix: str) -> "ZipSource":
        """See `Source.below`."""
        return ZipSource(self.archive, f"{self.prefix}/{prefix}" if self.prefix else prefix)

    def _relative(self, name: str) -> str | None:
        if not self.prefix:
            return name or None
        return name[len(self.prefix) + 1 :] if name.startswith(self.prefix + "/") else None

    def _zip(self) -> "_Opened":
        opened: _Opened | None = getattr(self._opened, "value", None)
        if opened is not None and opened.process == os.getpid():
            return opened
        try:
            archive = zipfile.ZipFile(self.archive)
        except Exception as error:
            # Of many kinds: of names that are not in their encoding, of a format not known, …
            raise DataError(
                f"{self.archive} cannot be read as a zip archive ({error}); fetch or pack it again"
            ) from error
        separator = _separator(archive.namelist())
        opened = _Opened(os.getpid(), archive, separator, _spelt(archive.namelist(), separator))
        self._opened.value = opened
        return opened


def _parents(key: str) -> Iterator[str]:
    return (str(parent) for parent in PurePosixPath(key).parents if parent.name)


def _separator(names: Sequence[str]) -> str:
    """What stands between folders in an archive's names."""
    slashes = any("/" in name for name in names)
    return "\\" if not slashes and any("\\" in name for name in names) else "/"


def _spelt(names: Sequence[str], separator: str) -> dict[str, str]:
    """Names by what they come to, those of files that come to another; no name hides another."""
    found: dict[str, str] = {}
    for name in names:
        slashed = name.replace(separator, "/")
        plain = _plain(slashed)
        if plain != name and not slashed.endswith("/") and not _unsafe(slashed):
            found.setdefault(plain, name)
    for name in found.keys() & set(names):
        del found[name]
    return found


def _plain(name: str) -> str:
    """A name without what stands for nothing in it: `.`, doubled slashes and one at its end."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _unsafe(name: str) -> str:
    """Why an archive's entry is refused, or nothing."""
    if not printable(name):
        return "its name is not valid Unicode; rename it"
    parts: Iterable[str] = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or name[1:2] == ":":
        return "its name points outside the archive; pack the archive again without such names"
    if "\\" in name:
        return "its name has backslashes for folders; pack the archive again with '/'"
    return ""
