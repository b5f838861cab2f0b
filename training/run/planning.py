"""What a training is going to do: its batches, its steps, and when it is looked at."""

from dataclasses import dataclass

import torch

from model_store.errors import StoreError
from model_store.network.backbones import BACKBONES
from model_store.network.branch import Branch
from model_store.network.lookup import find, refusing
from training.components import Component, build
from training.data.augmentation import AUGMENTATIONS, Augmentation
from training.data.batches import Batches
from training.data.folders import ImageFolder
from training.data.sampling import SAMPLERS, ClassTable, Sampler
from training.data.training_set import TrainingSet, class_table
from training.distributed import Processes
from training.errors import RecipeError
from training.history import validations_since_best
from training.randomness import Stream, seeded
from training.recipe import Recipe
from training.run.state import Standing

_ROWS = 200
_LOOKS = 10
"""How often a run is looked at that does not validate."""


@dataclass(frozen=True)
class Plan:
    """When the loop does what.

    Attributes:
        steps: Of the whole run.
        epoch_steps: Steps of a pass through the data.
        validations: Steps after which the network is looked at, and the time too.
        keep_best: Whether the best weights validated are kept aside.
        save_every: Seconds between two savings of the state.
        patience: Validations without a lower equal error rate that end the run; None for no end.
        first: Whether the network is validated before the first step too.
        max_seconds: Time of training after which the next of `validations` ends it; None for no
            end.
        until: The step after which it ends, in the midst of a schedule that is for all of `steps`;
            None for the last one.
    """

    steps: int
    epoch_steps: float
    validations: frozenset[int]
    keep_best: bool
    save_every: float
    patience: int | None = None
    first: bool = False
    max_seconds: float | None = None
    until: int | None = None

    @property
    def last(self) -> int:
        """The step after which nothing follows."""
        return self.steps if self.until is None else min(self.until, self.steps)

    def ended(self, standing: Standing) -> bool:
        """Whether nothing is left to do, by steps, by patience or by time."""
        return (
            standing.step >= self.last
            or self.out_of_patience(standing)
            or self.out_of_time(standing)
        )

    def out_of_time(self, standing: Standing) -> bool:
        """Whether it stands at a validation, and has trained for longer than it may.

        Between two validations it is not at its end: whoever interrupts it there, or kills it, is
        to find a run that goes on to the next one, as it would have done undisturbed.
        """
        return (
            self.max_seconds is not None
            and standing.seconds >= self.max_seconds
            and standing.step in self.validations
        )

    def out_of_patience(self, standing: Standing) -> bool:
        """Whether so many validations in a row have brought nothing better."""
        if self.patience is None:
            return False
        best = standing.best
        # The look before the first step has no row: where its weights are the best, its figure is
        # kept with them.
        start = best.eer if best is not None and best.step == 0 else None
        return validations_since_best(standing.history, start) >= self.patience

    @property
    def row_steps(self) -> int:
        """Steps that a row of the history covers at most."""
        return max(1, self.steps // _ROWS)


def plan_training(
    images: TrainingSet,
    recipe: Recipe,
    device: torch.device,
    *,
    validates: bool,
    save_every: float = 60.0,
    processes: Processes | None = None,
    until: int | None = None,
) -> tuple[Batches, Plan]:
    """The batches of a run, and when what happens.

    Args:
        images: What is trained on.
        recipe: How.
        device: The network's.
        validates: Whether there are classes to validate on.
        save_every: Seconds between two savings of the state.
        processes: Those that train together.
        until: As `Plan.until`.

    Raises:
        RecipeError: Recipe and data do not go together.
    """
    sampler = _sampler(images.table, recipe)
    augmentation = build(AUGMENTATIONS, "augmentation", recipe.augmentation, recipe.preprocessing)
    _check_size(recipe, augmentation)
    if images.table.sides is not None:
        _check_sides(recipe)
    steps, epoch_steps = _length(images.table, sampler, recipe)
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
        epoch_steps=epoch_steps,
        validations=validation_steps(steps, recipe.validation.times if validates else _LOOKS),
        keep_best=recipe.validation.keep in ("best", "both"),
        save_every=save_every,
        patience=recipe.validation.patience,
        first=recipe.validation.first and validates,
        max_seconds=None if recipe.max_minutes is None else 60 * recipe.max_minutes,
        until=until,
    )
    return batches, plan


def planned_steps(folder: ImageFolder, recipe: Recipe) -> tuple[int, float]:
    """Steps of a whole training on a folder's images, and steps of an epoch.

    Raises:
        RecipeError: The sampler cannot draw from these classes.
    """
    table = class_table(folder, turned_classes=recipe.data.turned_classes)
    return _length(table, _sampler(table, recipe), recipe)


def images_per_batch(folder: ImageFolder, recipe: Recipe) -> int:
    """Images of each batch of a training on a folder's images.

    Raises:
        RecipeError: The sampler cannot draw from these classes.
    """
    table = class_table(folder, turned_classes=recipe.data.turned_classes)
    return _sampler(table, recipe).images_per_step


def validation_steps(steps: int, times: int) -> frozenset[int]:
    """The steps after which to validate: evenly spread, the last one among them."""
    return frozenset(steps * part // times for part in range(1, times + 1)) - {0}


def _sampler(table: ClassTable, recipe: Recipe) -> Sampler:
    if recipe.max_steps == 0:
        # No step is taken, so that it does not matter whether the recipe's could draw one.
        component = Component(name="shuffled")
        return build(SAMPLERS, "sampler", component, table, recipe.batch, recipe.seed)
    return build(SAMPLERS, "sampler", recipe.sampling, table, recipe.batch, recipe.seed)


def _length(table: ClassTable, sampler: Sampler, recipe: Recipe) -> tuple[int, float]:
    images, each = len(table.labels), sampler.images_per_step * recipe.batches_per_step
    return recipe.steps(images, each), images / each


def _check_sides(recipe: Recipe) -> None:
    branches = recipe.network.branches
    normalised = [at for at, branch in enumerate(branches) if branch.batch_norm]
    if not normalised or len(branches) == 1 or recipe.max_steps == 0:
        return
    if SAMPLERS[recipe.sampling.name].by_image:
        raise RecipeError(
            f"sampling.name={recipe.sampling.name} draws images whatever their side, and a branch "
            "with batch_norm cannot learn from a batch with a single image of its side; set "
            "sampling.name=classes-by-images, which draws as many of either, or "
            f"network.branches.{normalised[0]}.batch_norm=false"
        )


def _check_size(recipe: Recipe, augmentation: Augmentation) -> None:
    seen = (recipe.preprocessing.height, recipe.preprocessing.width)
    if augmentation.size == seen:
        return
    what = "augmentation.options.resolution below 1 is for networks that take pictures of any size"
    if any(branch.pooling == "flatten" for branch in recipe.network.branches):
        raise RecipeError(
            f"{what}, and one that flattens its map takes only one; set network.branches.0.pooling="
            "grid or gem, or leave the resolution at 1"
        )
    for spec in recipe.network.branches:
        # Of what is built for a size, some take others too: that is seen only by trying.
        if getattr(find(BACKBONES, "backbone", spec.backbone), "sized", False):
            channels = recipe.preprocessing.channels
            with seeded(recipe.seed, Stream.INITIALISATION):
                branch = Branch(spec, channels, *seen).eval()
            try:
                with refusing(f"backbone '{spec.backbone}'"), torch.inference_mode():
                    branch(torch.zeros(1, channels, *augmentation.size))
            except StoreError as error:
                raise RecipeError(
                    f"{what}, and this one takes only one ({error}); leave the resolution at 1, or "
                    "choose a convolutional network"
                ) from error
