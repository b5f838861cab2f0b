"""What a training is going to do: its batches, its steps, and when it is looked at."""

import torch

from training.components import build
from training.data.augmentation import AUGMENTATIONS, Augmentation
from training.data.batches import Batches
from training.data.sampling import SAMPLERS
from training.data.training_set import TrainingSet
from training.distributed import Processes
from training.errors import RecipeError
from training.recipe import Recipe
from training.run.loop import Plan, validation_steps

LOOKS = 10
"""How often a run is looked at that does not validate."""


def plan_training(
    images: TrainingSet,
    recipe: Recipe,
    device: torch.device,
    *,
    validates: bool,
    save_every: float = 60.0,
    processes: Processes | None = None,
) -> tuple[Batches, Plan]:
    """The batches of a run, and when what happens.

    Args:
        images: What is trained on.
        recipe: How.
        device: The network's.
        validates: Whether there are classes to validate on.
        save_every: Seconds between two savings of the state.
        processes: Those that train together.

    Raises:
        RecipeError: Recipe and data do not go together.
    """
    sampler = build(SAMPLERS, "sampler", recipe.sampling, images.table, recipe.batch, recipe.seed)
    augmentation = build(AUGMENTATIONS, "augmentation", recipe.augmentation, recipe.preprocessing)
    _check_size(recipe, augmentation)
    total = len(images.table.labels)
    images_per_step = sampler.images_per_step * recipe.batches_per_step
    steps = recipe.steps(total, images_per_step)
    batches = Batches(
        images,
        sampler,
        augmentation,
        seed=recipe.seed,
        device=device,
        steps=steps,
        per_step=recipe.batches_per_step,
        mine=(processes or Processes()).share(recipe.batches_per_step),
    )
    plan = Plan(
        steps=steps,
        epoch_steps=total / images_per_step,
        validations=validation_steps(steps, recipe.validation.times if validates else LOOKS),
        keep_best=recipe.validation.keep != "last",
        save_every=save_every,
        patience=recipe.validation.patience,
        first=recipe.validation.first and validates,
        max_seconds=None if recipe.max_minutes is None else 60 * recipe.max_minutes,
    )
    return batches, plan


def _check_size(recipe: Recipe, augmentation: Augmentation) -> None:
    seen = (recipe.preprocessing.height, recipe.preprocessing.width)
    if augmentation.size != seen and any(b.pooling == "flatten" for b in recipe.network.branches):
        raise RecipeError(
            "augmentation.options.resolution below 1 is for networks that take pictures of any "
            "size, and one that flattens its map takes only one; set network.branches.0.pooling="
            "grid or gem, or leave the resolution at 1"
        )
