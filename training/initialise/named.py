"""What `start.model` names: a model of the store, or the folder of a version."""

from pathlib import Path

from model_store.checkpoint import MANIFEST


def folder_named(model: str) -> Path | None:
    """The folder of a version, if that is what is named; None if it is a model of the store."""
    folder = Path(model).expanduser()
    return folder if (folder / MANIFEST).is_file() else None
