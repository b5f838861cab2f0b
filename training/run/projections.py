"""The projection of a run's network, set in closed form before its training or after it."""

from collections.abc import Callable
from functools import partial

import torch

from model_store.network import SiameseNetwork
from training.components import build
from training.data.augmentation import AUGMENTATIONS
from training.data.training_set import TrainingSet
from training.initialise import MOST_IMAGES, whiten
from training.progress import Reporter
from training.recipe import Recipe
from training.run.finishing import MOST_FINISHING, finish


def set_whitening(
    network: SiameseNetwork,
    images: TrainingSet,
    recipe: Recipe,
    device: torch.device,
    reporter: Reporter,
) -> None:
    """Sets it as `start.projection: whitening` asks; see `training.initialise.whitening`."""
    _set(whiten, network, images, recipe, device, reporter, "whitening", MOST_IMAGES)


def finish_projection(
    network: SiameseNetwork,
    images: TrainingSet,
    recipe: Recipe,
    device: torch.device,
    reporter: Reporter,
) -> None:
    """Sets it as `finish.projection` asks, if it does; see `training.run.finishing`."""
    wanted = recipe.finish.projection
    if wanted is None:
        return
    set_it = partial(finish, projection=wanted)
    _set(set_it, network, images, recipe, device, reporter, "finishing", MOST_FINISHING)


def _set(
    set_it: Callable[..., str],
    network: SiameseNetwork,
    images: TrainingSet,
    recipe: Recipe,
    device: torch.device,
    reporter: Reporter,
    title: str,
    most: int,
) -> None:
    augmentation = build(AUGMENTATIONS, "augmentation", recipe.augmentation, recipe.preprocessing)
    with reporter.task(title, min(most, len(images.table.labels))) as task:
        told = set_it(
            network,
            images,
            mirrored=augmentation.mirrors,
            seed=recipe.seed,
            device=device,
            on_progress=task.update,
        )
    reporter.say(told)
