"""Which classes the weights that a training starts from were trained on before."""

from collections.abc import Mapping

from pydantic import JsonValue

from model_store import checkpoint as checkpoints
from model_store.files import read_data
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
        drawn ones, those of ImageNet or dlib, also as models that Twinlens brings in. Of those
        that come with it all are public, and a user may have the same data: names tell.

    Raises:
        StoreError: There is no such model, or its manifest cannot be read.
    """
    if start.model is None:
        return () if _cannot_have_seen(start) else None
    folder = folder_named(start.model, store)
    try:
        written = Split.from_json(read_data(folder / SPLIT_FILE))
    except FileNotFoundError:
        return () if is_shipped(start.model, store) else None
    except (OSError, ValueError):
        return None
    split = told_by_recipe(written, checkpoints.read_manifest(folder).provenance.recipe)
    return None if split.start_learnt is None else split.learnt


def told_by_recipe(split: Split, recipe: Mapping[str, JsonValue]) -> Split:
    """A split, and what an older one does not tell of what was learnt, by its recipe.

    A model that is named there is not looked up: by now, that may be the very one that it made.

    Args:
        split: As it was written.
        recipe: Of the same training, as its manifest has it.
    """
    if {"start_learnt", "untrained"} <= split.model_fields_set:
        return split
    try:
        parsed = parse_recipe(recipe, "")
    except RecipeError:
        told: dict[str, object] = {"start_learnt": None, "untrained": False}
    else:
        known = parsed.start.model is None and _cannot_have_seen(parsed.start)
        told = {"start_learnt": () if known else None, "untrained": parsed.fits_nothing}
    left_out = {name: value for name, value in told.items() if name not in split.model_fields_set}
    return split.model_copy(update=left_out)


def _cannot_have_seen(start: Start) -> bool:
    return {start.backbone, start.right_backbone} <= {None, IMAGENET, DLIB}
