"""Files written whole or not at all, and their digests."""

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

MOST_TEXT = 64 << 20
"""Bytes that a file which says something in JSON may have: thousands of times what any has."""

_CHUNK = 1 << 20
# Folders that a virtual machine shares with its host, and some network file systems.
_CANNOT_SYNC_FOLDERS = frozenset({errno.EINVAL, errno.EBADF, errno.ENOTSUP})
_INCOMING = re.compile(r"\..+\.\d+-[0-9a-f]{8}", re.DOTALL)


class NoSuchData(OSError):
    """What lies at a path is no file, or one of a size that it cannot have."""


def read_data(path: Path, most: int | None = None) -> bytes:
    """The bytes of a file, and of nothing else: to read a pipe could take for ever.

    Args:
        path: The file, or a link to it.
        most: Bytes that it may have, if there is a limit.

    Raises:
        NoSuchData: It is a pipe or a device, or has more.
        OSError: It cannot be read.
    """
    # Asked of what was opened: it may be another by the time that a path is.
    with open(path, "rb", buffering=0, opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise NoSuchData(errno.EINVAL, "it is a pipe or a device, and no file", str(path))
        if most is not None and status.st_size > most:
            told = f"it has {status.st_size:,} bytes, and {most:,} at most are expected"
            raise NoSuchData(errno.EFBIG, told, str(path))
        return file.readall()


def _open_at_once(path: str, flags: int) -> int:
    # A pipe is otherwise opened only once somebody writes to it. Windows has none in folders.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def sha256_of(path: Path) -> str:
    """The hexadecimal SHA-256 digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def refusal(error: OSError) -> str:
    """What the system refuses, in words for users: where, why, and what to do."""
    why = error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return f"{why} (said by the system, which names no file)"
    return f"{error.filename}: {why}; check this path, and that this user may use what is there"


def write_durably(path: Path, data: bytes) -> None:
    """Writes a new file and waits until the disk has it."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes, prepare: Callable[[Path], None] | None = None) -> None:
    """Replaces a file in one step: a reader sees the old bytes or the new, never a part.

    Args:
        path: The file.
        data: Its new content.
        prepare: Done to the new file before it takes the old one's place.
    """
    path = path.resolve()  # What a link names is replaced, and not the link.
    incoming = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        write_durably(incoming, data)
        if prepare is not None:
            prepare(incoming)
        incoming.replace(path)
    finally:
        incoming.unlink(missing_ok=True)
    sync_folder(path.parent)


def remove_incoming(folder: Path) -> None:
    """Removes what `replace_file` could not, where its process was killed.

    Only for a folder that no other process writes to meanwhile.
    """
    with suppress(OSError):  # What stays takes room, and is in nobody's way.
        for path in folder.iterdir():
            if _INCOMING.fullmatch(path.name):
                path.unlink()


def make_folder(folder: Path) -> None:
    """Makes a folder, and those above it, unless they are there; the disk then has all of them."""
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in new:
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Waits until the disk has the folder's entries, so that a rename in it survives a crash.

    Where file systems cannot do that, it is left to them when they write what was renamed.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_FOLDERS:
            raise
    finally:
        os.close(descriptor)
