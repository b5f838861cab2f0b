"""What `start.model` names: a model of the store, or the folder of a version."""

from pathlib import Path

from model_store.checkpoint import MANIFEST
from model_store.store import ModelStore


def folder_named(model: str, store: ModelStore) -> Path:
    """The folder of the version that is named.

    Args:
        model: A model of the store, an alias of one, or the folder of a version.
        store: Where a model is looked for by name.

    Raises:
        StoreError: There is no such model.
    """
    folder = Path(model).expanduser()
    return folder if (folder / MANIFEST).is_file() else store.find(store.resolve(model)).path
