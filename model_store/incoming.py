"""A folder that is being written, beside what it is to become."""

import contextlib
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from model_store.locks import locked


@dataclass(frozen=True)
class Incoming:
    """A folder that is being written.

    Attributes:
        folder: Where it lies until it is renamed.
        others: Whether another process is writing one of the same prefix; not where there are no
            locks on folders, by which it would tell.
    """

    folder: Path
    others: bool


@contextlib.contextmanager
def incoming_folder(parent: Path, prefix: str, *, mode: int = 0o777) -> Iterator[Incoming]:
    """A new folder, locked while the block runs; gone at its end unless it was renamed.

    What others have left there who were killed while they wrote is removed.

    Args:
        parent: Where it is made; it must be there.
        prefix: What its name begins with, and that of all others for the same purpose.
        mode: Its permissions, of which the umask takes away.

    Raises:
        OSError: It cannot be made.
    """
    folder = parent / f"{prefix}{os.getpid()}-{secrets.token_hex(4)}"
    with contextlib.ExitStack() as held:
        try:
            # Between its making and its lock a new folder would look like one left behind.
            with locked(parent):
                others = _remove_abandoned(parent, prefix)
                folder.mkdir(mode)
                held.enter_context(locked(folder))
            yield Incoming(folder, others)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(parent: Path, prefix: str) -> bool:
    """Removes folders whose lock nobody holds: their writer has ended, however it did.

    Returns:
        Whether there are others, whose lock is held.
    """
    others = False
    for folder in parent.glob(f"{glob.escape(prefix)}*"):
        try:
            with locked(folder, wait=False) as abandoned:
                if abandoned:
                    shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            others = True
        except OSError:  # One that has been renamed or removed meanwhile is no longer there.
            continue
    return others
