"""Which classes the weights that a training starts from were trained on before."""

from pathlib import Path

from model_store import checkpoint as checkpoints
from model_store.errors import StoreError
from model_store.store import ModelStore
from training.data.split import SPLIT_FILE, Split
from training.errors import RecipeError
from training.initialise.named import folder_named
from training.initialise.shipped import is_shipped
from training.recipe import DLIB, IMAGENET, Start
from training.recipe.files import parse_recipe


def start_learnt(start: Start, store: ModelStore) -> tuple[str, ...] | None:
    """The names of those classes, as the split beside the model has them.

    Args:
        start: The recipe's.
        store: Where a model to start from is looked for by name.

    Returns:
        None where nothing is recorded; none of weights that cannot have seen their user's images:
        drawn ones, those of ImageNet or dlib, or a model that Twinlens ships.

    Raises:
        StoreError: There is no such model, or its manifest cannot be read.
    """
    if start.model is None:
        known = {start.backbone, start.right_backbone} <= {None, IMAGENET, DLIB}
        return () if known else None
    if is_shipped(start.model, store):
        return ()
    folder = folder_named(start.model) or store.find(start.model).path
    try:
        split = Split.from_json((folder / SPLIT_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    if "start_learnt" not in split.model_fields_set and _started(folder, store):
        return None
    return None if split.start_learnt is None else split.learnt


def _started(folder: Path, store: ModelStore) -> bool:
    """Whether a model made before splits told of it may have started from what had learnt."""
    provenance = checkpoints.read_manifest(folder).provenance
    try:
        return start_learnt(parse_recipe(provenance.recipe, "").start, store) != ()
    except (StoreError, RecipeError):
        return True
