"""Files that users name for what is made: whether they can be written, and why not."""

import os
from pathlib import Path

from model_store.files import replace_file
from training.errors import DataError


def check_file(path: Path, option: str) -> None:
    """Refuses a file that could not be written, before work is done that takes long.

    Args:
        path: The file.
        option: The option that names it, for the message.

    Raises:
        DataError: It is a folder or a device, its folder is not there, or may not be written to.
    """
    try:
        _check(path, option)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror or error}): give {option} another file"
        ) from error


def _check(path: Path, option: str) -> None:
    if path.exists() and not path.is_file() and not path.is_dir():
        # It would be replaced, by whoever may do that.
        raise DataError(f"{path} is no regular file: give {option} another")
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise DataError(f"{path} cannot be written: give {option} a file in a folder that exists")
    if not os.access(path if path.exists() else path.resolve().parent, os.W_OK):
        raise DataError(
            f"{path} cannot be written (no permission): give {option} a file in another folder"
        )


def write_file(path: Path, data: bytes, advice: str = "") -> None:
    """Writes a file in one step, in the place of what was there.

    Args:
        path: The file.
        data: Its content.
        advice: What to do; the message ends with it.

    Raises:
        DataError: The system did not write it.
    """
    try:
        replace_file(path, data)
    except OSError as error:
        because = f"{path} cannot be written ({error.strerror or error})"
        raise DataError(f"{because}; {advice}" if advice else because) from error
