"""Which classes `calibrate` made a calibration by, as a file beside the model.

Those that `fit` calibrates by are in its split.
"""

from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter

from model_store.files import read_data
from training.errors import DataError
from training.publishing.older import card_tells_of_calibration
from training.publishing.warned import WARNINGS_FILE

CALIBRATED_FILE = "calibrated.json"
"""The file's name beside a checkpoint."""

_NAMES = TypeAdapter(tuple[str, ...])


def calibrated_json(names: Iterable[str]) -> bytes:
    """The file's content: the names of the classes."""
    return _NAMES.dump_json(tuple(sorted(set(names))), indent=2) + b"\n"


def is_calibrated_since(folder: Path) -> bool:
    """Whether `calibrate` made a checkpoint's calibration, and not `fit`."""
    if (folder / CALIBRATED_FILE).exists():
        return True
    return not (folder / WARNINGS_FILE).exists() and card_tells_of_calibration(folder)


def read_calibrated(folder: Path) -> frozenset[str] | None:
    """The classes that a checkpoint was calibrated by since `fit`; None where it was not.

    None at all, where an earlier release calibrated it and did not record by which.

    Raises:
        DataError: The file cannot be read.
    """
    path = folder / CALIBRATED_FILE
    try:
        return frozenset(_NAMES.validate_json(read_data(path)))
    except FileNotFoundError:
        return frozenset() if is_calibrated_since(folder) else None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); calibrate the model again") from error
