"""What is wrong, or may be, with data and recipe before anything is trained."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.crossing import pairs_in
from training.data.folders import ImageFolder
from training.data.parts import Parts
from training.data.sampling import SAMPLERS
from training.data.sources import Skipped
from training.errors import DataError
from training.fit.duplicates import search
from training.naming import named
from training.progress import Reporter
from training.recipe import Recipe
from training.run.planning import planned_steps

Integers = npt.NDArray[np.int64]

_FEW_STEPS = 200
_FEW_CLASSES = 10
_FEW_PAIRS = 30
_MUCH_MORE = 10


@dataclass(frozen=True)
class Inspection:
    """What is to be known of data and recipe.

    Attributes:
        warnings: For users, each with what to do; none for data and a recipe without faults.
        unusable: Images that cannot be read or decoded, as far as they were looked at.
    """

    warnings: tuple[str, ...]
    unusable: tuple[Skipped, ...] = ()


def inspect(
    parts: Parts, recipe: Recipe, reporter: Reporter, *, crossed: bool = False
) -> Inspection:
    """Looks at what is to be trained on, and how.

    Args:
        parts: What trains, validates, calibrates.
        recipe: How.
        reporter: Told how far the search for duplicates is.
        crossed: Whether all classes judge, as `Split.crossed` has it.

    Raises:
        RecipeError: The sampler cannot draw from these classes.
        DataError: The classes that validate or calibrate give no pair to judge by.
    """
    judging = _judging(parts, crossed=crossed)
    _check_pairs(judging)
    found = search(parts, recipe, reporter)
    return Inspection(
        (
            *_about_length(parts.train, recipe),
            *_about_classes(parts.train, recipe),
            *_about_judging(judging),
            *_about_unusable(found.unusable),
            *found.warnings,
        ),
        found.unusable,
    )


def check_pairs(parts: Parts, *, crossed: bool = False) -> None:
    """Refuses classes to judge by that give no pair of one class.

    Args:
        parts: What trains, validates, calibrates.
        crossed: As `inspect` takes it.

    Raises:
        DataError: Those that validate or calibrate have but one image each.
    """
    _check_pairs(_judging(parts, crossed=crossed))


def _judging(parts: Parts, *, crossed: bool) -> list[tuple[ImageFolder, str]]:
    """What judges, and as what."""
    if crossed:
        return [(parts.learnt, "calibration")]
    kept = ((parts.validation, "validation"), (parts.calibration, "calibration"))
    return [(folder, purpose) for folder, purpose in kept if folder is not None]


def _check_pairs(judging: list[tuple[ImageFolder, str]]) -> None:
    for folder, purpose in judging:
        if not _pairs(folder):
            raise DataError(
                f"{folder.source}: not one of the {len(folder.classes)} classes drawn for "
                f"{purpose} has two images, so that they cannot judge; add images to classes, or "
                f"do without (--set split.{purpose}=0)"
            )


def _about_length(folder: ImageFolder, recipe: Recipe) -> Iterator[str]:
    steps, epoch = planned_steps(folder, recipe)
    if steps and (steps < _FEW_STEPS or steps < epoch):
        yield (
            f"{steps:,} step(s), {steps / epoch:.2g} epochs, are few: a network hardly learns in "
            f"fewer than {max(_FEW_STEPS, round(epoch)):,}; train longer (--set epochs=…"
            + (", and a larger max_steps" if recipe.max_steps is not None else "")
            + "), or make steps smaller (--set batch=…)"
        )


def _about_classes(folder: ImageFolder, recipe: Recipe) -> Iterator[str]:
    count = len(folder.classes)
    if count < _FEW_CLASSES:
        yield (
            f"{count} classes to train on are few: what tells them apart may tell no others "
            f"apart; add classes, to {_FEW_CLASSES} or more"
        )
    images = np.bincount(folder.labels, minlength=count)
    yield from _about_single(folder, "to train on")
    if recipe.max_steps != 0:
        by_image = SAMPLERS[recipe.sampling.name].by_image
        about_sizes = _about_small_classes if by_image else _about_worn_images
        yield from about_sizes(folder, images)


def _about_single(folder: ImageFolder, purpose: str) -> Iterator[str]:
    images = np.bincount(folder.labels, minlength=len(folder.classes))
    single = [folder.classes[label].name for label in np.flatnonzero(images < 2)]
    if single:
        yield (
            f"{len(single)} class(es) {purpose} have a single image, and so no pair of one "
            f"class: {named(single)}; add an image to each, or take them away"
        )


def _about_small_classes(folder: ImageFolder, images: Integers) -> Iterator[str]:
    """What unequal classes do where every image is drawn alike: small ones hardly count."""
    least, most = int(images.argmin()), int(images.argmax())
    if images[most] >= _MUCH_MORE * images[least]:
        yield (
            f"classes differ much in size: '{folder.classes[most].name}' has {images[most]:,} "
            f"images to train on and '{folder.classes[least].name}' {images[least]:,}; draw "
            "classes evenly (--set sampling.name=classes-by-images or balanced-pairs), or even "
            "them out"
        )


def _about_worn_images(folder: ImageFolder, images: Integers) -> Iterator[str]:
    """What they do where every class is drawn alike: the images of small ones come up too often.

    Classes of a single image are told of elsewhere, and are hardly drawn.
    """
    paired = np.flatnonzero(images >= 2)
    mean = images[paired].mean()
    least = int(paired[images[paired].argmin()])
    if mean >= _MUCH_MORE * images[least]:
        yield (
            f"all classes are drawn alike, and differ much in size: the {images[least]:,} images "
            f"of '{folder.classes[least].name}' are each seen {mean / images[least]:.0f} times as "
            "often as those of a class of mean size, and may be learnt by heart; add images to "
            "it, or take it away"
        )


def _about_judging(judging: list[tuple[ImageFolder, str]]) -> Iterator[str]:
    for folder, purpose in judging:
        yield from _about_single(folder, f"for {purpose}")
        pairs = _pairs(folder)
        if pairs < _FEW_PAIRS:
            yield (
                f"{pairs} pair(s) of one class for {purpose} are few, and figures from them mean "
                f"little; add images to those classes, or raise split.{purpose}"
            )


def _about_unusable(unusable: Sequence[Skipped]) -> Iterator[str]:
    if unusable:
        first = unusable[0]
        yield (
            f"{len(unusable)} file(s) cannot be used as images: "
            f"{named([entry.key for entry in unusable])} (the first: {first.reason}); the run goes "
            "without them"
        )


def _pairs(folder: ImageFolder) -> int:
    """How many pairs of one class there are."""
    return pairs_in(folder)[0]
