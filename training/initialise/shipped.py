"""Whether a model to start from is one that Twinlens ships."""

from model_store import checkpoint as checkpoints
from model_store.imports import importable, template
from model_store.store import SHIPPED_MODELS, ModelStore
from training.initialise.named import folder_named


def is_shipped(model: str, store: ModelStore) -> bool:
    """Whether `start.model` has the weights that Twinlens ships under that model's name.

    By the digest of the weights and not by where they lie: users fit models into the store that
    comes along, too, and have copies of its models in stores of their own.

    Args:
        model: A model of the store, or the folder of a version.
        store: Where a model is looked for by name.

    Raises:
        StoreError: There is no such model, or its manifest cannot be read.
    """
    folder = folder_named(model)
    found = store.manifest(model) if folder is None else checkpoints.read_manifest(folder)
    shipped = SHIPPED_MODELS.get(found.name)
    if shipped is None and found.name in importable():
        shipped = template(found.name).weights.sha256
    return found.weights.sha256 == shipped
