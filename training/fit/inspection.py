"""What is wrong, or may be, with data and recipe before anything is trained."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from training.data.folders import ImageFolder
from training.data.parts import Parts, Unusable
from training.data.sampling import SAMPLERS
from training.data.sources import Skipped
from training.errors import DataError
from training.evaluation.pairs import pool_within
from training.fit.duplicates import search
from training.naming import named, one_line
from training.progress import Reporter
from training.recipe import Recipe
from training.run.planning import images_per_batch, planned_steps

Integers = npt.NDArray[np.int64]

_FEW_STEPS = 200
_FEW_CLASSES = 10
_FEW_PAIRS = 30
_MUCH_MORE = 10
_SPLIT_INSTEAD = (
    "let classes to judge by be taken from those to train on (leave --holdout out; or, of data "
    "with a train/ and a val/, give the train/ alone to --data)"
)


@dataclass(frozen=True)
class Inspection:
    """What is to be known of data and recipe.

    Attributes:
        warnings: For users, each with what to do; none for data and a recipe without faults.
        unusable: Images that cannot be read or decoded, as far as they were looked at.
    """

    warnings: tuple[str, ...]
    unusable: Unusable = field(default_factory=Unusable)


def inspect(
    parts: Parts,
    recipe: Recipe,
    reporter: Reporter,
    *,
    crossed: bool = False,
    held_out: bool = False,
) -> Inspection:
    """Looks at what is to be trained on, and how.

    Args:
        parts: What trains, validates, calibrates.
        recipe: How.
        reporter: Told how far the search for duplicates is.
        crossed: Whether all classes judge, as `Split.crossed` has it.
        held_out: Whether those that judge are of other data than those that train, so that no
            share decides how many they are.

    Raises:
        RecipeError: The sampler cannot draw from these classes.
        DataError: The classes that validate or calibrate give no pair of the one kind or the other
            to judge by.
    """
    judging = _judging(parts, recipe, crossed=crossed, held_out=held_out)
    _check_pairs(judging)
    found = search(parts, recipe, reporter)
    return Inspection(
        (
            *_about_length(parts.train, recipe),
            *_about_rate(parts.train, recipe),
            *_about_validation(parts, recipe),
            *_about_classes(parts.train, recipe),
            *_about_judging(judging),
            *_about_unusable(found.unusable.all),
            *found.warnings,
        ),
        found.unusable,
    )


def check_pairs(
    parts: Parts, recipe: Recipe, *, crossed: bool = False, held_out: bool = False
) -> None:
    """Refuses classes to judge by that give no pair of one class, or none of two.

    Args:
        parts: What trains, validates, calibrates.
        recipe: How.
        crossed: As `inspect` takes it.
        held_out: Likewise.

    Raises:
        DataError: Those that validate or calibrate have but one image each, or are one class.
    """
    _check_pairs(_judging(parts, recipe, crossed=crossed, held_out=held_out))


@dataclass(frozen=True)
class _Judging:
    """Classes that judge.

    Attributes:
        folder: Their images.
        purpose: As what they judge.
        otherwise: What else to do than to add images, where they cannot judge.
        more: Likewise where they can, but have few pairs.
    """

    folder: ImageFolder
    purpose: str
    otherwise: str
    more: str


def _judging(parts: Parts, recipe: Recipe, *, crossed: bool, held_out: bool) -> list[_Judging]:
    """What judges, and as what."""
    validation, calibration = "--set split.validation=0", "--set split.calibration=0"
    found: list[_Judging] = []

    def add(folder: ImageFolder, purpose: str, without: str, more: str) -> None:
        if held_out:
            # Shares are of data that is to be split, and this has been.
            found.append(_Judging(folder, purpose, _SPLIT_INSTEAD, "set more classes aside"))
        else:
            found.append(_Judging(folder, purpose, f"do without ({without})", more))

    # Where all are crossed, those for validation are among them; they are judged by alone while a
    # network is trained.
    watched = recipe.max_steps != 0 and recipe.validation.times > 0
    if parts.validation is not None and (watched or not crossed):
        add(parts.validation, "validation", validation, "raise split.validation")
    if crossed:
        without = f"{validation} {calibration}"
        if recipe.calibration.folds:
            without += " --set calibration.folds=0"
        # All of them already, whatever the shares.
        add(parts.learnt, "calibration", without, "add classes")
    elif parts.calibration is not None:
        add(parts.calibration, "calibration", calibration, "raise split.calibration")
    return found


def _check_pairs(judging: list[_Judging]) -> None:
    for each in judging:
        folder, pool = each.folder, pool_within(each.folder)
        if not pool.genuine_total:
            names = named(folder.class_names)
            wanted = "an image on either side" if folder.two_sided else "two images"
            raise DataError(
                f"{folder.source}: not one of the {len(folder.classes)} classes drawn for "
                f"{each.purpose} has {wanted}, so that they cannot judge: {names}; add images to "
                f"classes, or {each.otherwise}"
            )
        if not pool.impostor_total:
            (alone,) = folder.classes
            raise DataError(
                f"{folder.source}: '{alone.name}' is all there is for {each.purpose}, and one "
                "class gives no pair of two; replace the images that cannot be decoded, add "
                f"classes, or {each.otherwise}"
            )


def _about_length(folder: ImageFolder, recipe: Recipe) -> Iterator[str]:
    steps, epoch = planned_steps(folder, recipe)
    least = max(_FEW_STEPS, round(epoch))
    if not steps or steps >= least:
        return
    bounds: dict[str, float] = {}
    if recipe.max_steps is not None:
        bounds["max_steps"] = recipe.max_steps
    if recipe.epochs is not None:
        bounds["epochs"] = recipe.epochs * epoch
    binding = min(bounds, key=bounds.__getitem__)
    advice = " ".join(f"--set {name}=…" for name, bound in bounds.items() if bound < least)
    if binding == "max_steps" and recipe.max_minutes is not None:
        advice += ", or more --minutes where they have set that"
    passes = steps / epoch
    told = f"{passes:,.0f}" if passes >= 10 else f"{passes:.2g}"
    yield (
        f"{steps:,} step(s), {told} epochs, are few, and {binding} allows no more: a network "
        f"hardly learns in fewer than {least:,}; train longer ({advice})"
        + (", or make steps smaller (--set batch=…)" if binding == "epochs" else "")
    )


def _about_rate(folder: ImageFolder, recipe: Recipe) -> Iterator[str]:
    """A rate that is scaled for larger batches than are drawn.

    It is not scaled for those: a run that began before this was told would go on at another rate.
    """
    if recipe.optimiser.reference_batch is None:
        return
    drawn = images_per_batch(folder, recipe)
    if drawn < recipe.batch:
        yield (
            f"a batch has {drawn} images, as many as sampling.name={recipe.sampling.name} can draw "
            "from these classes, and optimiser.reference_batch scales the learning rate as for "
            f"{recipe.batch}; set the batch to what is drawn (--set batch={drawn})"
        )


def _about_validation(parts: Parts, recipe: Recipe) -> Iterator[str]:
    """What is asked of a validation where there is none."""
    wanted = recipe.validation
    undone = {
        **({f"validation.keep={wanted.keep}": "keep=last"} if wanted.keep != "last" else {}),
        **({f"validation.patience={wanted.patience}": "patience=null"} if wanted.patience else {}),
    }
    if recipe.max_steps == 0 or not undone or (parts.validation is not None and wanted.times > 0):
        return
    reason, mend = "validation.times is 0", "validation.times=5"
    if parts.validation is None:
        reason, mend = "no classes are set aside to validate on", "split.validation=0.15"
    without = " ".join(f"--set validation.{value}" for value in undone.values())
    yield (
        f"{reason}, so that {' and '.join(undone)} cannot be: training goes to its end and keeps "
        f"the last weights; validate (--set {mend}), or do without ({without})"
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
    single = [folder.class_names[label] for label in np.flatnonzero(images < 2)]
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
            f"classes differ much in size: '{one_line(folder.classes[most].name)}' has "
            f"{images[most]:,} images to train on and "
            f"'{one_line(folder.classes[least].name)}' {images[least]:,}; draw "
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
            f"of '{one_line(folder.classes[least].name)}' are each seen "
            f"{mean / images[least]:.0f} times as often as those of a class of mean size, and may "
            "be learnt by heart; add images to it, or take it away"
        )


def _about_judging(judging: list[_Judging]) -> Iterator[str]:
    for each in judging:
        folder, purpose = each.folder, each.purpose
        yield from _about_single(folder, f"for {purpose}")
        pairs = pool_within(folder).genuine_total
        if pairs < _FEW_PAIRS:
            yield (
                f"{pairs} pair(s) of one class for {purpose} are few, and figures from them mean "
                f"little; add images to those classes, or {each.more}"
            )


def _about_unusable(unusable: Sequence[Skipped]) -> Iterator[str]:
    if unusable:
        first = unusable[0]
        yield (
            f"{len(unusable)} file(s) cannot be used as images: "
            f"{named([entry.key for entry in unusable])} (the first: {first.reason}); the run goes "
            "without them"
        )
