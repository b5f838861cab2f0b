"""`store.json`: the model that answers by default, and further names for models."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from model_store.errors import CheckpointDamaged, StoreError
from model_store.files import MOST_TEXT, read_data, replace_file
from model_store.locks import locked
from model_store.manifest import NAME_PATTERN

INDEX = "store.json"

_Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]


class StoreIndex(BaseModel):
    """The whole of `store.json`.

    Attributes:
        default: The model that answers where a request names none.
        aliases: Further names for models.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    default: _Name | None = None
    aliases: dict[_Name, _Name] = {}


def read_index(root: Path) -> StoreIndex:
    """The index of a store; with neither default nor aliases where no `store.json` is.

    Raises:
        CheckpointDamaged: The file is there and not readable.
    """
    path = root / INDEX
    try:
        return StoreIndex.model_validate_json(read_data(path, MOST_TEXT))
    except (FileNotFoundError, NotADirectoryError):
        return StoreIndex()
    except (ValidationError, OSError) as error:
        raise CheckpointDamaged(
            f"{path} cannot be read ({error}); mend it, or delete it and set the default again"
        ) from error


def update_index(root: Path, change: Callable[[StoreIndex], StoreIndex]) -> StoreIndex:
    """Changes the index of a store, one process after the other.

    Args:
        root: The store; those who only read it need not be able to write there, and do not wait.
        change: Makes the new index of the one that is there.

    Returns:
        The new index.

    Raises:
        CheckpointDamaged: As `read_index`.
        StoreError: It cannot be written.
    """
    try:
        with locked(root):
            index = change(read_index(root))
            content = json.dumps(index.model_dump(mode="json"), indent=2) + "\n"
            replace_file(root / INDEX, content.encode())
            return index
    except OSError as error:
        raise StoreError(f"cannot write {root / INDEX}: {error.strerror or error}") from error
