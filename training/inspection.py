"""What is wrong, or may be, with data and recipe before anything is trained."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from model_store.cpus import available_cpus
from training.components import build
from training.data.fingerprints import Fingerprints, near_pairs, take_fingerprints
from training.data.folders import ImageFolder
from training.data.parts import Parts
from training.data.sampling import SAMPLERS, ClassTable
from training.errors import DataError
from training.progress import Reporter, Task
from training.randomness import Stream, numpy_generator
from training.recipe import Recipe

MOST_LOOKED_AT = 20_000
"""Images of each part among which duplicates are looked for."""

_FEW_STEPS = 200
_FEW_CLASSES = 10
_FEW_PAIRS = 30
_MUCH_MORE = 10
_NAMED = 3
_TURNS = 4


def inspect(parts: Parts, recipe: Recipe, reporter: Reporter) -> tuple[str, ...]:
    """Warnings for users, each with what to do; none for data and a recipe without faults.

    Args:
        parts: What trains, validates, calibrates.
        recipe: How.
        reporter: Told how far the search for duplicates is.

    Raises:
        RecipeError: The sampler cannot draw from these classes.
        DataError: The classes that validate or calibrate give no pair to judge by.
    """
    for folder, purpose in (
        (parts.validation, "validation"),
        (parts.calibration, "calibration"),
    ):
        if folder is not None and not _pairs(folder):
            raise DataError(
                f"{folder.source}: not one of the {len(folder.classes)} classes drawn for "
                f"{purpose} has two images, so that they cannot judge; add images to classes, or "
                f"do without (--set split.{purpose}=0)"
            )
    return (
        *_about_length(parts.train, recipe),
        *_about_classes(parts.train),
        *_about_validation(parts),
        *_about_duplicates(parts, recipe, reporter),
    )


def planned_steps(folder: ImageFolder, recipe: Recipe) -> tuple[int, float]:
    """Steps of the whole training, and steps of an epoch."""
    table = ClassTable(folder.labels, folder.groups, folder.on_right if folder.two_sided else None)
    sampler = build(SAMPLERS, "sampler", recipe.sampling, table, recipe.batch, recipe.seed)
    total = len(folder.items) * (_TURNS if recipe.data.turned_classes else 1)
    each = sampler.images_per_step * recipe.batches_per_step
    return recipe.steps(total, each), total / each


def _about_length(folder: ImageFolder, recipe: Recipe) -> Iterator[str]:
    steps, epoch = planned_steps(folder, recipe)
    if steps and (steps < _FEW_STEPS or steps < epoch):
        yield (
            f"{steps:,} step(s), {steps / epoch:.2g} epochs, are few: a network hardly learns in "
            f"fewer than {max(_FEW_STEPS, round(epoch)):,}; train longer (--set epochs=…"
            + (", and a larger max_steps" if recipe.max_steps is not None else "")
            + "), or make steps smaller (--set batch=…)"
        )


def _about_classes(folder: ImageFolder) -> Iterator[str]:
    count = len(folder.classes)
    if count < _FEW_CLASSES:
        yield (
            f"{count} classes to train on are few: what tells them apart may tell no others "
            f"apart; add classes, to {_FEW_CLASSES} or more"
        )
    images = np.bincount(folder.labels, minlength=count)
    single = [folder.classes[label].name for label in np.flatnonzero(images < 2)]
    if single:
        yield (
            f"{len(single)} class(es) to train on have a single image, and so no pair of one "
            f"class: {_named(single)}; add an image to each, or take them away"
        )
    least, most = int(images.argmin()), int(images.argmax())
    if images[most] >= _MUCH_MORE * images[least]:
        yield (
            f"classes differ much in size: '{folder.classes[most].name}' has {images[most]:,} "
            f"images to train on and '{folder.classes[least].name}' {images[least]:,}; draw "
            "classes evenly (--set sampling.name=classes-by-images or balanced-pairs), or even "
            "them out"
        )


def _about_validation(parts: Parts) -> Iterator[str]:
    for folder, purpose in (
        (parts.validation, "validation"),
        (parts.calibration, "calibration"),
    ):
        if folder is None:
            continue
        pairs = _pairs(folder)
        if pairs < _FEW_PAIRS:
            yield (
                f"{pairs} pair(s) of one class for {purpose} are few, and figures from them mean "
                f"little; add images to those classes, or raise split.{purpose}"
            )


def _pairs(folder: ImageFolder) -> int:
    """How many pairs of one class there are."""
    images = np.bincount(folder.labels, minlength=len(folder.classes))
    return int((images * (images - 1) // 2).sum())


@dataclass(frozen=True)
class _Part:
    purpose: str
    folder: ImageFolder
    prints: Fingerprints

    def key(self, position: int) -> str:
        return self.prints.items[position].key

    def class_of(self, position: int) -> str:
        return self.folder.classes[self.prints.items[position].label].name


def _about_duplicates(parts: Parts, recipe: Recipe, reporter: Reporter) -> Iterator[str]:
    folders = {
        "training": parts.train,
        "validation": parts.validation,
        "calibration": parts.calibration,
    }
    present = {purpose: folder for purpose, folder in folders.items() if folder is not None}
    workers = recipe.data.workers or available_cpus()
    found: list[_Part] = []
    with reporter.task(
        "looking for duplicates",
        sum(min(len(folder.items), MOST_LOOKED_AT) for folder in present.values()),
    ) as task:
        for purpose, folder in present.items():
            chosen, before = _some(folder, recipe.seed), task.done
            prints = take_fingerprints(
                folder,
                tuple(folder.items[position] for position in chosen),
                workers=workers,
                on_progress=partial(_told, task, before),
            )
            found.append(_Part(purpose, folder, prints))
            if len(chosen) < len(folder.items):
                yield (
                    f"duplicates were looked for among {len(chosen):,} of {len(folder.items):,} "
                    f"{purpose} images only, drawn by the seed; there may be more of them"
                )
    yield from _same_file(found)
    for at, part in enumerate(found):
        for other in found[at + 1 :]:
            yield from _same_look(part, other)


def _told(task: Task, before: int, done: int, _: int) -> None:
    task.update(before + done)


def _some(folder: ImageFolder, seed: int) -> list[int]:
    if len(folder.items) <= MOST_LOOKED_AT:
        return list(range(len(folder.items)))
    order = numpy_generator(seed, Stream.VALIDATION).permutation(len(folder.items))
    return sorted(order[:MOST_LOOKED_AT].tolist())


def _same_file(parts: Sequence[_Part]) -> Iterator[str]:
    """One file more than once: under two class names, or in two parts."""
    places: dict[str, list[tuple[_Part, int]]] = defaultdict(list)
    for part in parts:
        for position, digest in enumerate(part.prints.digests):
            places[digest].append((part, position))
    repeated = [where for where in places.values() if len(where) > 1]
    two_classes = [w for w in repeated if len({part.class_of(at) for part, at in w}) > 1]
    if two_classes:
        yield (
            f"{len(two_classes)} file(s) are under two class names, so that one of the two is "
            f"wrong: {_named([_places(where) for where in two_classes])}; take one of each away"
        )
    two_parts = [w for w in repeated if len({part.purpose for part, _ in w}) > 1]
    if two_parts:
        yield (
            f"{len(two_parts)} file(s) are both among what is trained on and what judges, or what "
            f"calibrates, so that figures flatter: "
            f"{_named([_places(where) for where in two_parts])}; take one of each away"
        )


def _same_look(part: _Part, other: _Part) -> Iterator[str]:
    """One picture in two files, in two parts."""
    pairs = [
        (ours, theirs)
        for ours, theirs in near_pairs(part.prints, other.prints).tolist()
        if part.prints.digests[ours] != other.prints.digests[theirs]
    ]
    if not pairs:
        return
    ours, theirs = len({pair[0] for pair in pairs}), len({pair[1] for pair in pairs})
    examples = [f"{part.key(a)} and {other.key(b)}" for a, b in pairs[: _NAMED + 1]]
    yield (
        f"{ours} {part.purpose} image(s) look the same as {theirs} {other.purpose} image(s), but "
        f"for encoding or size, so that figures flatter: {_named(examples, len(pairs))}; keep "
        "such images in one class, or take one of each away"
    )


def _places(where: Sequence[tuple[_Part, int]]) -> str:
    return " = ".join(f"{part.key(at)} ({part.purpose})" for part, at in where[:_NAMED])


def _named(names: Sequence[str], count: int | None = None) -> str:
    """A few names, and how many more there are."""
    total = len(names) if count is None else count
    rest = f" and {total - _NAMED:,} more" if total > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{rest}"
