"""The names of the models that a fit puts into the store."""

import re
from contextlib import suppress

from model_store.errors import CheckpointDamaged
from model_store.manifest import check_name
from model_store.store import ModelStore
from training.recipe import Recipe

_MOST_STEPS = 10**9
"""That a name must have room for before training, not after it."""


def at_step(name: str, step: int) -> str:
    """The name of the model of a validation's weights, where those of every one are kept."""
    return f"{name}-step{step}"


def check_free(name: str, store: ModelStore) -> None:
    """Refuses a name that no version of a model can be put under.

    Raises:
        StoreError: It is no name, an alias of another model, or of one that cannot be added to.
    """
    check_name(name)
    store.check_no_alias(name)
    if store.versions(name):
        store.check_writable(name)


def check_kept_names(name: str, recipe: Recipe, store: ModelStore) -> None:
    """Refuses a name to which no step can be added, where weights of every validation are kept.

    Args:
        name: The model's.
        recipe: Says what is kept.
        store: Where it goes.

    Raises:
        StoreError: It is too long, or with some step it would be an alias of another model.
    """
    if recipe.validation.keep != "every":
        return
    check_name(at_step(name, _MOST_STEPS))
    # Training must not be lost to a file that can be mended.
    with suppress(CheckpointDamaged):
        # Any step, as patience or time may end the run at one that is not planned.
        for alias in store.index().aliases:
            if re.fullmatch(rf"{re.escape(name)}-step\d+", alias):
                store.check_no_alias(alias)
