"""What was warned of, by what it is about, as a file beside the model."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from model_store.files import read_data
from training.publishing.older import warned_on_card

WARNINGS_FILE = "warnings.json"
"""The file's name beside a checkpoint."""


class Warned(BaseModel):
    """Sentences for people, of each kind.

    Attributes:
        training: Of the data, the recipe and the run: they hold as long as the weights do.
        calibration: Of the calibration, which another one takes away.
        typicality: Of the description of the model's own kind of images, or that there is none.
    """

    model_config = ConfigDict(frozen=True)

    training: tuple[str, ...] = ()
    calibration: tuple[str, ...] = ()
    typicality: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """The file's content."""
        return self.model_dump_json(indent=2).encode() + b"\n"


def read_warned(folder: Path) -> Warned:
    """What was warned of a checkpoint; of one that predates the file, what its card tells.

    Raises:
        OSError, ValueError: The file cannot be read.
    """
    try:
        content = read_data(folder / WARNINGS_FILE)
    except FileNotFoundError:
        return Warned.model_validate(warned_on_card(folder))
    return Warned.model_validate_json(content)
