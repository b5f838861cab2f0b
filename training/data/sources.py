"""Where image files lie: a folder, or a zip archive read as it is, from any thread or process."""

import os
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from training.errors import DataError

MAX_FILE_BYTES = 256 * 1024 * 1024
"""A larger file is not read: no image within the pixel limit needs it, and memory has an end."""

_JUNK = frozenset({"__MACOSX"})


@dataclass(frozen=True)
class Skipped:
    """Something found and not used.

    Attributes:
        key: Its path inside the source.
        reason: Why, in words for the user.
    """

    key: str
    reason: str


@dataclass
class Listing:
    """What a source holds, hidden files apart.

    Attributes:
        files: Posix paths of all files, sorted.
        folders: Posix paths of all folders, sorted; the root is not among them.
        refused: Entries that may not be read.
    """

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    refused: list[Skipped] = field(default_factory=list)


class Source(Protocol):
    """A tree of files."""

    @property
    def path(self) -> Path:
        """What a user would type to name it."""
        ...

    def listing(self) -> Listing:
        """All that is there. Raises DataError if that cannot be told."""
        ...

    def read(self, key: str) -> bytes:
        """The bytes of one file; from any thread. Raises DataError if they cannot be had."""
        ...

    def below(self, prefix: str) -> "Source":
        """The part of the tree under a folder of it; keys are then relative to that."""
        ...


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
        return _in_order(found)

    def read(self, key: str) -> bytes:
        """See `Source.read`."""
        path = self.path / key
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise DataError(_too_large(path.stat().st_size))
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
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                key = f"{prefix}/{entry.name}" if prefix else entry.name
                if _hidden(entry.name):
                    continue
                if not _printable(key):
                    found.refused.append(_unprintable(key))
                elif entry.is_dir():
                    found.folders.append(key)
                    self._walk(folder / entry.name, key, above | {here}, found)
                else:
                    found.files.append(key)


class ZipSource:
    """A folder inside a zip archive; nothing is ever extracted.

    Every thread of every process opens the archive for itself, so that reads neither wait for one
    another nor share a file position after a fork.
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
        found = Listing()
        seen: set[str] = set()
        folders: set[str] = set()
        for info in self._zip().infolist():
            name = info.filename
            reason = _unsafe(name)
            if reason:
                found.refused.append(Skipped(name.encode(errors="replace").decode(), reason))
                continue
            key = self._relative(name)
            if key is None or any(_hidden(part) for part in PurePosixPath(key).parts):
                continue
            folders.update(_parents(key))
            if info.is_dir():
                folders.add(key)
            elif key in seen:
                found.refused.append(Skipped(key, "the archive has this name twice"))
            else:
                seen.add(key)
        found.files, found.folders = list(seen), list(folders)
        return _in_order(found)

    def read(self, key: str) -> bytes:
        """See `Source.read`."""
        name = f"{self.prefix}/{key}" if self.prefix else key
        try:
            archive = self._zip()
            info = archive.getinfo(name)
            if info.file_size > MAX_FILE_BYTES:
                raise DataError(_too_large(info.file_size))
            return archive.read(info)
        except (OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            # RuntimeError: encrypted, or a compression that Python does not know.
            raise DataError(f"cannot be read from the archive ({error})") from error

    def below(self, prefix: str) -> "ZipSource":
        """See `Source.below`."""
        return ZipSource(self.archive, f"{self.prefix}/{prefix}" if self.prefix else prefix)

    def _relative(self, name: str) -> str | None:
        name = name.rstrip("/")
        if not self.prefix:
            return name or None
        return name[len(self.prefix) + 1 :] if name.startswith(self.prefix + "/") else None

    def _zip(self) -> zipfile.ZipFile:
        opened = getattr(self._opened, "value", None)
        if opened is not None and opened[0] == os.getpid():
            archive: zipfile.ZipFile = opened[1]
            return archive
        try:
            archive = zipfile.ZipFile(self.archive)
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{self.archive} cannot be read as a zip archive ({error}); fetch or pack it again"
            ) from error
        self._opened.value = (os.getpid(), archive)
        return archive


class PairSource:
    """Two trees as one: the keys of the first below `left/`, those of the second below `right/`."""

    def __init__(self, left: Source, right: Source) -> None:
        self._sides = {"left": left, "right": right}

    @property
    def path(self) -> Path:
        """That of the left tree."""
        return self._sides["left"].path

    def listing(self) -> Listing:
        """See `Source.listing`."""
        found = Listing()
        for side, source in self._sides.items():
            inner = source.listing()
            found.files += [f"{side}/{key}" for key in inner.files]
            found.folders += [side, *(f"{side}/{key}" for key in inner.folders)]
            found.refused += [Skipped(f"{side}/{item.key}", item.reason) for item in inner.refused]
        return _in_order(found)

    def read(self, key: str) -> bytes:
        """See `Source.read`."""
        side, _, inner = key.partition("/")
        return self._sides[side].read(inner)

    def below(self, prefix: str) -> Source:
        """See `Source.below`; below one of the sides it is that side's tree."""
        side, _, inner = prefix.partition("/")
        return self._sides[side].below(inner) if inner else self._sides[side]


def open_source(path: Path) -> Source:
    """The files at a path: a folder, a zip, or a folder inside a zip (`data.zip/inner/folder`).

    Raises:
        DataError: Nothing of the kind is there.
    """
    if path.is_dir():
        return FolderSource(path)
    for candidate in (path, *path.parents):
        if candidate.is_file():
            if not zipfile.is_zipfile(candidate):
                raise DataError(
                    f"{candidate} is neither a folder nor a zip archive; give a folder of images "
                    "(class/image or group/class/image) or a zip of one"
                )
            inside = path.relative_to(candidate).as_posix()
            return ZipSource(candidate, "" if inside == "." else inside)
    raise DataError(f"{path} is not there; check the path given as data")


def _in_order(found: Listing) -> Listing:
    return Listing(sorted(found.files), sorted(found.folders), found.refused)


def _parents(key: str) -> Iterator[str]:
    return (str(parent) for parent in PurePosixPath(key).parents if parent.name)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in _JUNK


def _unsafe(name: str) -> str:
    """Why an archive's entry is refused, or nothing."""
    if not _printable(name):
        return "its name is not valid Unicode; rename it"
    parts: Iterable[str] = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or name[1:2] == ":":
        return "its name points outside the archive; pack the archive again without such names"
    if "\\" in name:
        return "its name has backslashes for folders; pack the archive again with '/'"
    return ""


def _printable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unprintable(key: str) -> Skipped:
    shown = key.encode(errors="backslashreplace").decode()
    return Skipped(shown, "its name is not valid Unicode; rename it")


def _too_large(size: int) -> str:
    return f"the file has {size:,} bytes, over the limit of {MAX_FILE_BYTES:,}"
