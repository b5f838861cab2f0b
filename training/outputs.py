"""Files that users name for what is made: whether they can be written, and why not."""

import errno
import os
from pathlib import Path

from model_store.files import replace_file
from training.errors import DataError

_IN_PLACE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.ENAMETOOLONG}
"""Why a file that may be written cannot be replaced: its folder may not, or it is a mount."""


def check_file(path: Path, option: str) -> None:
    """Refuses a file that could not be written, before work is done that takes long.

    Args:
        path: The file; a pipe or a character device, such as /dev/null, is as good.
        option: The option that names it, for the message.

    Raises:
        DataError: It is a folder, a disk or a socket, its folder is not there, or may not be
            written to.
    """
    try:
        _check(path, option)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror or error}): give {option} another file"
        ) from error


def check_folder(folder: Path, option: str) -> None:
    """Makes a folder unless it is there, and refuses one that no file could be written to.

    Args:
        folder: The folder.
        option: As `check_file` takes it.

    Raises:
        DataError: It cannot be made, or may not be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be made ({error.strerror}); give {option} another folder"
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(
            f"{folder} cannot be written to (no permission): give {option} another folder"
        )


def _check(path: Path, option: str) -> None:
    if path.is_block_device() or path.is_socket():
        raise DataError(f"{path} is neither a file nor a pipe: give {option} another")
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise DataError(f"{path} cannot be written: give {option} a file in a folder that exists")
    if not os.access(path if path.exists() else path.resolve().parent, os.W_OK):
        raise DataError(
            f"{path} cannot be written (no permission): give {option} a file in another folder"
        )


def can_be_read_again(path: Path) -> bool:
    """Whether what is written there stays there: not in a pipe, nor in a device."""
    return path.is_file() or not path.exists()


def write_file(path: Path, data: bytes, advice: str = "") -> None:
    """Writes a file in one step, in the place of what was there.

    Where only the file itself may be written, and not its folder, it is written in place; so are
    pipes and devices.

    Args:
        path: The file.
        data: Its content.
        advice: What to do; the message ends with it.

    Raises:
        DataError: The system did not write it.
    """
    try:
        _write(path, data)
    except OSError as error:
        because = f"{path} cannot be written ({error.strerror or error})"
        raise DataError(f"{because}; {advice}" if advice else because) from error


def _write(path: Path, data: bytes) -> None:
    if not can_be_read_again(path):
        path.write_bytes(data)
        return
    try:
        replace_file(path, data)
    except OSError as error:
        if error.errno not in _IN_PLACE:
            raise
        path.write_bytes(data)
