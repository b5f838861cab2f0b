"""Locks between processes, on files and folders that are there anyway; they end with their holder.

They keep out those who ask for them too, and nobody who only reads.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Holds the lock of a file or folder while the block runs.

    Every call is a holder of its own, in other threads of one process as well.

    Args:
        path: What is locked; it must be there, and may not be replaced meanwhile.
        wait: Whether to wait for as long as another holder has it.

    Yields:
        Whether it is held. Not so if another has it and `wait` is false, or where there are no
        such locks: on Windows, and for folders on some network file systems.

    Raises:
        OSError: It cannot be opened for reading.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield _lock(descriptor, wait=wait)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, wait: bool) -> bool:
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (ImportError, OSError):
        return False
    return True
