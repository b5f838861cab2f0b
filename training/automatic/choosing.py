"""From what images look like, and what starting networks make of them, to a recipe."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch

from model_store.errors import StoreError
from model_store.imports.dlib_face import face_package_installed
from training.automatic.looks import Looks, look
from training.automatic.trying import (
    FACES,
    GLYPHS,
    PHOTOS,
    Shape,
    Trials,
    find_faces,
    try_faces,
    try_imagenet,
    try_ink,
)
from training.data.folders import ImageFolder
from training.data.sample import have_pairs, paired_first
from training.progress import Reporter
from training.randomness import Stream, numpy_generator
from training.recipe import Recipe
from training.recipe.files import load_recipe
from training.tables import table

_MOST_CLASSES = 150
_MOST_OF_A_CLASS = 6
_LONGEST_SIDE = {"cpu": 160, "cuda": 224}
_MULTIPLE = 16
_LEAST_SIDE = 64
# Of the classes that train: those set aside to validate and calibrate are not counted.
_FEWEST_TO_TRAIN_ON = 500
_KEEP = "max_steps=0"
_MANY_OF_A_CLASS = 8

_FEWEST_CLASSES = 6
"""With fewer classes of two images no network is trained further."""

USUAL = PHOTOS
"""The recipe whose split is taken before it is known which recipe it will be."""


@dataclass(frozen=True)
class Chosen:
    """How to train.

    Attributes:
        recipe: A recipe's name.
        overrides: What is set otherwise in it, as of `--set`.
        reason: Why, in a sentence.
        tried: What was tried and what it gave, as a table; empty if nothing was.
    """

    recipe: str
    overrides: tuple[str, ...]
    reason: str
    tried: str = ""


def choose(
    folder: ImageFolder,
    *,
    names: Collection[str],
    device: torch.device,
    seed: int,
    reporter: Reporter,
    length_given: bool = False,
) -> Chosen:
    """Chooses a recipe for some images.

    Starting networks are compared by how well they tell the classes apart before any training:
    what is fitted to two thirds of the classes is judged on the last third, in turn. Ink on paper
    is also tried with the model `glyphs` that ships.

    Args:
        folder: The images to train on, and no others: what is held out takes no part.
        names: Of all classes, those held out among them.
        device: Where it will be trained.
        seed: Of the draws.
        reporter: Told what is done.
        length_given: Whether it is said how many steps to take: that is then not chosen.

    Raises:
        DataError: No image can be decoded.
    """
    looks = look(folder)
    reporter.say(looks.described())
    some = _some(folder, numpy_generator(seed, Stream.CHOICE))
    trials = Trials(some, seed, device, reporter)
    seen, faces = looks.described(), None
    if not looks.all_ink:
        if face_package_installed():
            faces = find_faces(trials)
        else:
            seen += ", not searched for faces (that takes pip install --editable '.[faces]')"
    tried = [] if faces is None else try_faces(trials, faces)
    if looks.all_ink:
        try:
            tried = try_ink(trials, looks, names)
        except StoreError as error:
            reporter.say(f"note: the model glyphs cannot be tried: {error}")
    shape = _shape(looks, device)
    try:
        tried += try_imagenet(trials, shape)
    except StoreError as error:
        reporter.say(f"note: ImageNet weights cannot be tried: {error}")
        if not tried:
            return _from_nothing(looks, seen)
    if not tried:
        return _untried(folder, seen, shape, faces=faces is not None, length_given=length_given)
    best = min(tried, key=lambda each: each.rank)
    shown = table(
        f"tried before training, on {len(some.items):,} images of {len(some.classes):,} classes, "
        "each class judged by what was fitted to others",
        ("start", "equal error rate", "AUC"),
        [
            (
                each.what + (" (chosen)" if each is best else ""),
                f"{each.merit.eer:.2%}",
                f"{each.merit.auc:.4f}",
            )
            for each in tried
        ],
    )
    by_size = _by_size(folder, load_recipe(best.recipe, best.overrides), length_given=length_given)
    few = too_few_to_train_on(folder)
    reason = (
        f"{seen}, and of {len(tried)} starting networks this one told classes apart "
        f"best that nothing was fitted to: {best.what}, equal error rate {best.merit.eer:.2%}"
        + (f"; it is not trained further, as {few}" if _KEEP in by_size else "")
    )
    return Chosen(best.recipe, (*best.overrides, *by_size), reason, shown)


def _untried(
    folder: ImageFolder, seen: str, shape: Shape, *, faces: bool, length_given: bool
) -> Chosen:
    few = "there are too few classes to compare starting networks by"
    if faces:
        return Chosen(FACES, (), f"{seen}, with a face in nearly all, and {few}")
    by_size = _by_size(folder, load_recipe(USUAL), length_given=length_given)
    overrides = (*shape.overrides(), *by_size)
    return Chosen(USUAL, overrides, f"{seen}, and {few}")


def _from_nothing(looks: Looks, seen: str) -> Chosen:
    if looks.all_ink:
        overrides = ("preprocessing.invert=true",) if looks.dark_paper else ()
        return Chosen(GLYPHS, overrides, f"{seen}, and no starting network could be tried")
    return Chosen("images", (), f"{seen}, and no starting network could be tried")


def _by_size(folder: ImageFolder, recipe: Recipe, *, length_given: bool = False) -> tuple[str, ...]:
    """What follows from how many classes and images there are."""
    if recipe.max_steps == 0:
        return ()
    counts = np.bincount(folder.labels, minlength=len(folder.classes))
    paired = int((counts >= 2).sum())
    if not length_given and too_few_to_train_on(folder):
        return (_KEEP,)
    each = 4 if np.median(counts) >= _MANY_OF_A_CLASS and recipe.start.projection else 2
    overrides = [] if each == 2 else [f"sampling.options={{images: {each}}}"]
    if paired * each < recipe.batch:
        # Of fewer than two classes none can be drawn: the sampler says so.
        overrides.append(f"batch={max(paired, 2) * each}")
    return tuple(overrides)


def too_few_to_train_on(folder: ImageFolder) -> str:
    """Why no network that is chosen is trained further on these images; empty where one is.

    What so few have in common would be taken for what all have: trainings on 250 pictures of 25
    people all ended with more errors on others than they began with.

    Args:
        folder: The images to train on, and no others.
    """
    if len(folder.items) < _FEWEST_TO_TRAIN_ON:
        images = f"{len(folder.items):,} images to train on"
        return f"{images} are fewer than the {_FEWEST_TO_TRAIN_ON} that this takes"
    paired = int((np.bincount(folder.labels, minlength=len(folder.classes)) >= 2).sum())
    if paired < _FEWEST_CLASSES:
        classes = f"{paired} classes of two images or more to train on"
        return f"{classes} are fewer than the {_FEWEST_CLASSES} that this takes"
    return ""


def _some(folder: ImageFolder, rng: np.random.Generator) -> ImageFolder:
    """Some images of some classes, of each side as many; classes without a pair last."""
    order = paired_first(have_pairs(folder), rng)[:_MOST_CLASSES]
    kept: list[int] = []
    for label in order.tolist():
        members = folder.labels == label
        for side in np.unique(folder.on_right[members]):
            there = np.flatnonzero(members & (folder.on_right == side))
            kept += rng.permutation(there)[:_MOST_OF_A_CLASS].tolist()
    return folder.only(kept)


def _shape(looks: Looks, device: torch.device) -> Shape:
    """The images' own shape if they share one, else a square; never far from square."""
    longest = _LONGEST_SIDE.get(device.type, _LONGEST_SIDE["cuda"])
    if not looks.one_aspect:
        return Shape(longest, longest, "letterbox")
    height = longest if looks.aspect <= 1 else longest / looks.aspect
    width = longest if looks.aspect >= 1 else longest * looks.aspect
    return Shape(_rounded(height), _rounded(width), "stretch")


def _rounded(side: float) -> int:
    return max(_LEAST_SIDE, round(side / _MULTIPLE) * _MULTIPLE)
