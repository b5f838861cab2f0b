"""Locks between processes, on files and folders that are there anyway; they end with their holder.

They keep out those who ask for them too, and nobody who only reads.
"""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import fcntl

# Where a file system makes them of POSIX's own locks, it may say either.
_HELD = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Holds the lock of a file or folder while the block runs.

    Every call is a holder of its own, in other threads of one process as well.

    Args:
        path: What is locked; it must be there, and may not be replaced meanwhile.
        wait: Whether to wait for as long as another holder has it.

    Yields:
        Whether it is held. Not so where there are no such locks: on Windows, and for folders on
        some network file systems.

    Raises:
        BlockingIOError: Another holder has it, and `wait` is false.
        OSError: It cannot be opened, which for a file is for reading and writing.
    """
    if sys.platform == "win32":  # It opens no folders, either.
        yield False
        return
    # Network file systems lock what is open for writing, which folders never are.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        yield _lock(descriptor, wait=wait)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, wait: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if not wait and error.errno in _HELD:
            raise BlockingIOError(error.errno, "another holder has the lock") from error
        return False
    return True
