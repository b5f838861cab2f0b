"""Which classes `calibrate` made a calibration by, as a file beside the model.

Those that `fit` calibrates by are in its split.
"""

from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter

from training.errors import DataError

CALIBRATED_FILE = "calibrated.json"
"""The file's name beside a checkpoint."""

_NAMES = TypeAdapter(tuple[str, ...])


def calibrated_json(names: Iterable[str]) -> bytes:
    """The file's content: the names of the classes."""
    return _NAMES.dump_json(tuple(sorted(set(names))), indent=2) + b"\n"


def read_calibrated(folder: Path) -> frozenset[str] | None:
    """The classes that a checkpoint was calibrated by since `fit`; None where none are recorded.

    Raises:
        DataError: The file cannot be read.
    """
    path = folder / CALIBRATED_FILE
    try:
        return frozenset(_NAMES.validate_json(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); calibrate the model again") from error
