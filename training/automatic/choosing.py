"""From what images look like, and what starting networks make of them, to a recipe."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch

from model_store.checkpoint import Checkpoint
from model_store.errors import ImageError, StoreError
from model_store.images import decode_prepared
from model_store.preprocessing import Preprocessing, UInt8Image
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
from training.data.training_set import Integers
from training.embedding import available_cores
from training.errors import DataError
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
_FEWEST_TO_TRAIN_ON = 1_000
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
    some, folds = _some(folder, seed)
    tried: list[_Tried] = []
    if looks.all_ink:
        tried += _ink(some, folds, looks, reporter)
    shape = _shape(looks, device)
    try:
        tried += _imagenet(some, folds, shape, device, reporter)
    except StoreError as error:
        reporter.say(f"note: ImageNet weights cannot be tried: {error}")
        if not tried:
            return _from_nothing(looks)
    if not tried:
        return _untried(folder, looks, shape)
    best = min(tried, key=lambda each: (each.merit.eer, -each.merit.auc))
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
        # What so few have in common would be taken for what all have: on 250 pictures of 25
        # people every training made the equal error rate on others worse, however gentle.
        return (_KEEP,)
    each = 4 if np.median(counts) >= _MANY_OF_A_CLASS and recipe.start.projection else 2
    overrides = [] if each == 2 else [f"sampling.options={{images: {each}}}"]
    if paired * each < recipe.batch:
        overrides.append(f"batch={paired * each}")
    return tuple(overrides)


def _some(folder: ImageFolder, seed: int) -> tuple[ImageFolder, Integers]:
    """Some images of some classes, classes of one image last; and each class's fold."""
    rng = numpy_generator(seed, Stream.CHOICE)
    counts = np.bincount(folder.labels, minlength=len(folder.classes))
    order = rng.permutation(len(counts))
    order = order[np.argsort(counts[order] < 2, kind="stable")][:_MOST_CLASSES]
    kept: set[str] = set()
    for label in order.tolist():
        members = np.flatnonzero(folder.labels == label)
        for position in rng.permutation(members)[:_MOST_OF_A_CLASS].tolist():
            kept.add(folder.items[position].key)
    part = folder.without({item.key for item in folder.items} - kept)
    return part, deal(len(part.classes), rng)


def _prepared(
    folder: ImageFolder, spec: Preprocessing, title: str, reporter: Reporter
) -> tuple[torch.Tensor, Integers]:
    """The images that can be decoded, uint8 (N, height, width, channels), and their classes."""

    def one(position: int) -> UInt8Image | None:
        try:
            return decode_prepared(folder.read(folder.items[position]), spec)
        except (ImageError, DataError):
            return None

    images, labels = [], []
    with (
        reporter.task(title, len(folder.items)) as task,
        ThreadPoolExecutor(available_cores(), "decode") as pool,
    ):
        for position, image in enumerate(pool.map(one, range(len(folder.items)))):
            if image is not None:
                images.append(image)
                labels.append(int(folder.labels[position]))
            task.update(position + 1)
    return torch.from_numpy(np.stack(images)), np.array(labels, dtype=np.int64)


def _ink(folder: ImageFolder, folds: Integers, looks: Looks, reporter: Reporter) -> list[_Tried]:
    """The model `glyphs` as it is."""
    checkpoint = _shipped_glyphs()
    spec = checkpoint.manifest.preprocessing
    overrides: tuple[str, ...] = (f"start.model={checkpoint.path}", *_GENTLE)
    if looks.dark_paper:
        spec = spec.model_copy(update={"invert": True})
        overrides = (*overrides, "preprocessing.invert=true")
    if len(folder.group_names) < 2:
        overrides = (
            *overrides,
            "sampling.options={images: 2}",
            "loss.options.parts.1.options={scale: 12.0, one_positive: true}",
        )
    images, labels = _prepared(folder, spec, "trying glyphs", reporter)
    found = merit([model_features(checkpoint, images)], labels, folds[labels], whitened=False)
    if found is None:
        return []
    return [_Tried("the model glyphs", _GLYPHS, overrides, found)]


_GENTLE = (
    "optimiser.learning_rate=0.01",
    "validation.first=true",
    "validation.keep=best",
    "freeze.statistics=true",
)


def _shipped_glyphs() -> Checkpoint:
    return ModelStore(SHIPPED).load(_GLYPHS)


def _imagenet(
    folder: ImageFolder,
    folds: Integers,
    shape: "_Shape",
    device: torch.device,
    reporter: Reporter,
) -> list[_Tried]:
    """Every layer as it lies; the best of them once more, mirrored images counting as the same."""
    spec = load_recipe(USUAL).preprocessing.model_copy(
        update={"height": shape.height, "width": shape.width, "resize": shape.resize}
    )
    images, labels = _prepared(folder, spec, "trying ImageNet weights", reporter)
    plain = imagenet_features(images, spec, device)
    tried: list[_Tried] = []
    merits: dict[Layer, Merit] = {}
    with reporter.task("comparing layers", len(LAYERS) + 1) as task:
        for layer in LAYERS:
            found = merit([plain[layer]], labels, folds[labels], whitened=True)
            if found is not None:
                merits[layer] = found
                overrides = (*shape.overrides(), *layer.overrides(plain[layer].shape[1]))
                tried.append(_Tried(layer.described(), USUAL, overrides, found))
            task.update(task.done + 1)
        if merits:
            best = min(merits, key=lambda layer: (merits[layer].eer, -merits[layer].auc))
            tried += _mirrored(best, plain, images, labels, folds, spec, device, tried)
        task.update(task.done + 1)
    return tried


def _mirrored(
    layer: Layer,
    plain: Mapping[Layer, torch.Tensor],
    images: torch.Tensor,
    labels: Integers,
    folds: Integers,
    spec: Preprocessing,
    device: torch.device,
    tried: list[_Tried],
) -> list[_Tried]:
    mirrored = imagenet_features(images.flip(2), spec, device)[layer]
    found = merit([plain[layer], mirrored], labels, folds[labels], whitened=True)
    if found is None:
        return []
    same = next(each for each in tried if each.what == layer.described())
    return [
        replace(
            same,
            what=f"{same.what}, mirrored too",
            overrides=(*same.overrides, "augmentation.options.mirror=0.5"),
            merit=found,
        )
    ]


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
