"""The models that Twinlens ships, and whether one to start from is among them."""

from model_store import checkpoint as checkpoints
from model_store.errors import ModelNotFound
from model_store.imports import importable, template
from model_store.reader import Reference
from model_store.shipped import SHIPPED, SHIPPED_MODELS
from model_store.store import ModelStore
from training.initialise.named import folder_named


def shipped_model(name: str) -> Reference:
    """A model that comes with Twinlens, as it came: other versions there may be a user's.

    Args:
        name: One of `SHIPPED_MODELS`.

    Raises:
        ModelNotFound: It was taken out of the store.
        StoreError: The manifest of a version before it cannot be read.
    """
    store = ModelStore(SHIPPED)
    for version in store.versions(name):
        if store.manifest(name, version).weights.sha256 == SHIPPED_MODELS[name]:
            return store.find(name, version)
    raise ModelNotFound(f"{SHIPPED} no longer holds the model '{name}' that comes with Twinlens")


def is_shipped(model: str, store: ModelStore) -> bool:
    """Whether `start.model` has the weights that Twinlens ships under that model's name.

    By the digest of the weights and not by where they lie: users fit models into the store that
    comes along, too, and have copies of its models in stores of their own.

    Args:
        model: As `start.model` names it.
        store: Where a model is looked for by name.

    Raises:
        StoreError: There is no such model, or its manifest cannot be read.
    """
    found = checkpoints.read_manifest(folder_named(model, store))
    shipped = SHIPPED_MODELS.get(found.name)
    if shipped is None and found.name in importable():
        shipped = template(found.name).weights.sha256
    return found.weights.sha256 == shipped
