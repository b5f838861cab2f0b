"""Where pairs can be crossed: how a network is made, and from how many classes."""

from collections.abc import Collection

from model_store.store import ModelStore
from training.data.folders import ImageFolder
from training.errors import DataError
from training.initialise import is_shipped, start_learnt
from training.recipe import Recipe
from training.recipe.sections import DLIB, IMAGENET

_LEAST_CLASSES = 3
"""Two that are left out together, and one that a projection is fitted to meanwhile."""


def can_cross(recipe: Recipe, store: ModelStore, names: Collection[str]) -> bool:
    """Whether nothing is fitted to its user's images but, at most, a projection in closed form.

    Not where it starts from weights that may have seen these images before.

    Args:
        recipe: How the network is made.
        store: Where a model to start from is looked for.
        names: Of the classes.

    Raises:
        StoreError: It is not there.
    """
    turned = recipe.start.projection is not None and recipe.data.turned_classes
    return (
        recipe.max_steps == 0
        and not turned
        and len(recipe.network.branches) == 1
        and recipe.finish.projection is None
        and starts_unseen(recipe, store, names)
    )


def check_crossing(folder: ImageFolder, recipe: Recipe) -> None:
    """Refuses data of which no class would be left to fit a projection to.

    Args:
        folder: All classes.
        recipe: `can_cross` holds.

    Raises:
        DataError: There are too few classes.
    """
    if recipe.start.projection is not None and len(folder.classes) < _LEAST_CLASSES:
        raise DataError(
            f"{folder.source} has {len(folder.classes)} class(es), and calibrating needs at least "
            f"{_LEAST_CLASSES}: two are left out at a time, and the projection is fitted to the "
            "others. Add classes, or do without calibration (--set split.validation=0 --set "
            "split.calibration=0)"
        )


def starts_unseen(recipe: Recipe, store: ModelStore, names: Collection[str]) -> bool:
    """Whether the weights that training starts from cannot have seen its user's images.

    Arguments and errors as of `can_cross`.
    """
    start = recipe.start
    if start.model is not None:
        learnt = start_learnt(start, store)
        known = learnt is None or not set(names).isdisjoint(learnt)
        return is_shipped(start.model, store) and not known
    return start.backbone in (None, IMAGENET, DLIB)
