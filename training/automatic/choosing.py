"""From what images look like, and what starting networks make of them, to a recipe."""

import sys
from dataclasses import dataclass, replace

import numpy as np
import torch

from model_store.errors import StoreError
from model_store.preprocessing import Preprocessing
from model_store.store import SHIPPED, ModelStore
from training.automatic.candidates import (
    LAYERS,
    Layer,
    imagenet_features,
    model_features,
)
from training.automatic.looks import Looks, look
from training.automatic.trial import Merit, deal, merit
from training.data.folders import ImageFolder
from training.data.pixels import PixelsInMemory, load_pixels
from training.data.training_set import Integers
from training.embedding import available_cores
from training.progress import Reporter
from training.randomness import Stream, numpy_generator
from training.recipe import Recipe
from training.recipe_files import load_recipe
from training.tables import table

_MOST_CLASSES = 150
_MOST_OF_A_CLASS = 6
_LONGEST_SIDE = {"cpu": 160, "cuda": 224}
_MULTIPLE = 16
_LEAST_SIDE = 64
_FEWEST_TO_TRAIN_ON = 500
_FEWEST_CLASSES = 6
_KEEP = "max_steps=0"
_MANY_OF_A_CLASS = 8
_GLYPHS = "glyphs"

USUAL = "photos"
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


@dataclass(frozen=True)
class _Tried:
    what: str
    recipe: str
    overrides: tuple[str, ...]
    merit: Merit

    @property
    def rank(self) -> tuple[float, float]:
        """Lower is better."""
        return (self.merit.eer, -self.merit.auc)

    def mirrored(self, found: Merit) -> "_Tried":
        """The same where mirrored images count as the same."""
        overrides = (*self.overrides, "augmentation.options.mirror=0.5")
        return replace(self, what=f"{self.what}, mirrored too", overrides=overrides, merit=found)


def choose(folder: ImageFolder, *, device: torch.device, seed: int, reporter: Reporter) -> Chosen:
    """Chooses a recipe for some images.

    Starting networks are compared by how well they tell the classes apart before any training:
    what is fitted to two thirds of the classes is judged on the last third, in turn. Ink on paper
    is also tried with the model `glyphs` that ships.

    Args:
        folder: The images to train on, and no others: what is held out takes no part.
        device: Where it will be trained.
        seed: Of the draws.
        reporter: Told what is done.

    Raises:
        DataError: No image can be decoded.
    """
    looks = look(folder)
    reporter.say(looks.described())
    some = _some(folder, numpy_generator(seed, Stream.CHOICE))
    trials = _Trials(some, seed, device, reporter)
    tried = _ink(trials, looks) if looks.all_ink else []
    shape = _shape(looks, device)
    try:
        tried += _imagenet(trials, shape)
    except StoreError as error:
        reporter.say(f"note: ImageNet weights cannot be tried: {error}")
        if not tried:
            return _from_nothing(looks)
    if not tried:
        return _untried(folder, looks, shape)
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
    by_size = _by_size(folder, load_recipe(best.recipe, best.overrides))
    reason = (
        f"{looks.described()}, and of {len(tried)} starting networks this one told classes apart "
        f"best that nothing was fitted to: {best.what}, equal error rate {best.merit.eer:.2%}"
        + ("; it is not trained further, as there are too few images" if _KEEP in by_size else "")
    )
    return Chosen(best.recipe, (*best.overrides, *by_size), reason, shown)


def _untried(folder: ImageFolder, looks: Looks, shape: "_Shape") -> Chosen:
    overrides = (*shape.overrides(), *_by_size(folder, load_recipe(USUAL)))
    return Chosen(
        USUAL,
        overrides,
        f"{looks.described()}, and there are too few classes to compare starting networks by",
    )


def _from_nothing(looks: Looks) -> Chosen:
    if looks.all_ink:
        overrides = ("preprocessing.invert=true",) if looks.dark_paper else ()
        return Chosen(
            _GLYPHS, overrides, f"{looks.described()}, and no starting network could be tried"
        )
    return Chosen("images", (), f"{looks.described()}, and no starting network could be tried")


def _by_size(folder: ImageFolder, recipe: Recipe) -> tuple[str, ...]:
    """What follows from how many classes and images there are."""
    counts = np.bincount(folder.labels, minlength=len(folder.classes))
    paired = int((counts >= 2).sum())
    if len(folder.items) < _FEWEST_TO_TRAIN_ON or paired < _FEWEST_CLASSES:
        # What so few have in common would be taken for what all have: trainings on 250 pictures
        # of 25 people all ended with more errors on others than they began with.
        return (_KEEP,)
    each = 4 if np.median(counts) >= _MANY_OF_A_CLASS and recipe.start.projection else 2
    overrides = [] if each == 2 else [f"sampling.options={{images: {each}}}"]
    if paired * each < recipe.batch:
        overrides.append(f"batch={paired * each}")
    return tuple(overrides)


def _some(folder: ImageFolder, rng: np.random.Generator) -> ImageFolder:
    """Some images of some classes, those of one image last."""
    counts = np.bincount(folder.labels, minlength=len(folder.classes))
    order = rng.permutation(len(counts))
    order = order[np.argsort(counts[order] < 2, kind="stable")][:_MOST_CLASSES]
    kept: set[str] = set()
    for label in order.tolist():
        members = np.flatnonzero(folder.labels == label)
        for position in rng.permutation(members)[:_MOST_OF_A_CLASS].tolist():
            kept.add(folder.items[position].key)
    return folder.without({item.key for item in folder.items} - kept)


@dataclass(frozen=True)
class _Sample:
    """Images prepared for one starting network: (N, height, width, channels), (N,) and (N,)."""

    images: torch.Tensor
    labels: Integers
    folds: Integers

    def merit(self, views: list[torch.Tensor], *, whitened: bool) -> Merit | None:
        return merit(views, self.labels, self.folds, whitened=whitened)


@dataclass(frozen=True)
class _Trials:
    """What every trial needs."""

    folder: ImageFolder
    seed: int
    device: torch.device
    reporter: Reporter

    def sample(self, spec: Preprocessing, title: str) -> _Sample:
        with self.reporter.task(title, len(self.folder.items)) as task:
            pixels = load_pixels(
                self.folder,
                spec,
                budget=sys.maxsize,  # They are few.
                workers=available_cores(),
                on_progress=lambda done, _: task.update(done),
            )
        if not isinstance(pixels, PixelsInMemory):
            raise TypeError("images within the budget are held in memory")
        labels = pixels.folder.labels
        folds = deal(len(pixels.folder.classes), numpy_generator(self.seed, Stream.CHOICE, 1))
        return _Sample(pixels.images, labels, folds[labels])


def _ink(trials: _Trials, looks: Looks) -> list[_Tried]:
    """The model `glyphs` as it is."""
    checkpoint = ModelStore(SHIPPED).load(_GLYPHS)
    spec = checkpoint.manifest.preprocessing
    overrides: tuple[str, ...] = (f"start.model={checkpoint.path}", *_GENTLE)
    if looks.dark_paper:
        spec = spec.model_copy(update={"invert": True})
        overrides = (*overrides, "preprocessing.invert=true")
    if len(trials.folder.group_names) < 2:
        overrides = (*overrides, *_WITHOUT_GROUPS)
    sample = trials.sample(spec, "trying glyphs")
    found = sample.merit([model_features(checkpoint, sample.images)], whitened=False)
    return [] if found is None else [_Tried("the model glyphs", _GLYPHS, overrides, found)]


_GENTLE = (
    "optimiser.learning_rate=0.01",
    "validation.first=true",
    "validation.keep=best",
    "freeze.statistics=true",
)


_WITHOUT_GROUPS = (
    "sampling.options={images: 2}",
    "loss.options.parts.1.options={scale: 12.0, one_positive: true}",
)


def _imagenet(trials: _Trials, shape: "_Shape") -> list[_Tried]:
    """Every layer as it lies; the best of them once more, mirrored images counting as the same."""
    spec = load_recipe(USUAL).preprocessing.model_copy(
        update={"height": shape.height, "width": shape.width, "resize": shape.resize}
    )
    sample = trials.sample(spec, "trying ImageNet weights")
    plain = imagenet_features(sample.images, spec, trials.device)
    tried: dict[Layer, _Tried] = {}
    with trials.reporter.task("comparing layers", len(LAYERS) + 1) as task:
        for layer in LAYERS:
            found = sample.merit([plain[layer]], whitened=True)
            if found is not None:
                overrides = (*shape.overrides(), *layer.overrides(plain[layer].shape[1]))
                tried[layer] = _Tried(layer.described(), USUAL, overrides, found)
            task.update(task.done + 1)
        if not tried:
            return []
        best = min(tried, key=lambda layer: tried[layer].rank)
        mirrored = imagenet_features(sample.images.flip(2), spec, trials.device, [best])[best]
        found = sample.merit([plain[best], mirrored], whitened=True)
        task.update(task.done + 1)
    both = [] if found is None else [tried[best].mirrored(found)]
    return [*tried.values(), *both]


@dataclass(frozen=True)
class _Shape:
    height: int
    width: int
    resize: str

    def overrides(self) -> tuple[str, ...]:
        return (
            f"preprocessing.height={self.height}",
            f"preprocessing.width={self.width}",
            f"preprocessing.resize={self.resize}",
        )


def _shape(looks: Looks, device: torch.device) -> _Shape:
    """The images' own shape if they share one, else a square; never far from square."""
    longest = _LONGEST_SIDE.get(device.type, _LONGEST_SIDE["cuda"])
    if not looks.one_aspect:
        return _Shape(longest, longest, "letterbox")
    height = longest if looks.aspect <= 1 else longest / looks.aspect
    width = longest if looks.aspect >= 1 else longest * looks.aspect
    return _Shape(_rounded(height), _rounded(width), "stretch")


def _rounded(side: float) -> int:
    return max(_LEAST_SIDE, round(side / _MULTIPLE) * _MULTIPLE)
