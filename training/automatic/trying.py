"""Trying starting networks on images of a folder, before anything is trained."""

import sys
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import torch

from model_store import checkpoint as checkpoints
from model_store.cpus import available_cpus
from model_store.errors import StoreError
from model_store.network.backbones.dlib_face import DlibFace
from model_store.preprocessing import Preprocessing
from model_store.store import ModelStore
from training.automatic.candidates import (
    LAYERS,
    Layer,
    face_features,
    imagenet_features,
    load_face_network,
    model_features,
)
from training.automatic.looks import Looks
from training.automatic.trial import Booleans, Merit, deal, merit
from training.data.folders import ImageFolder
from training.data.pixels import PixelsInMemory, load_pixels
from training.data.training_set import Integers
from training.initialise import shipped_model, start_learnt
from training.progress import Reporter
from training.randomness import Stream, numpy_generator
from training.recipe import Start
from training.recipe.files import load_recipe

GLYPHS, PHOTOS, FACES = "glyphs", "photos", "faces"
"""The recipes that starting networks go with."""

_LOOKED_FOR_FACES = 24
_NEARLY_ALL = 0.9

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


@dataclass(frozen=True)
class Tried:
    """A starting network, the recipe that goes with it, and how well it told classes apart."""

    what: str
    recipe: str
    overrides: tuple[str, ...]
    merit: Merit

    @property
    def rank(self) -> tuple[float, float]:
        """Lower is better."""
        return (self.merit.eer, -self.merit.auc)

    def mirrored(self, found: Merit) -> "Tried":
        """The same where mirrored images count as the same."""
        overrides = (*self.overrides, "augmentation.options.mirror=0.5")
        return replace(self, what=f"{self.what}, mirrored too", overrides=overrides, merit=found)


@dataclass(frozen=True)
class Shape:
    """What size and shape images are brought to."""

    height: int
    width: int
    resize: str

    def overrides(self) -> tuple[str, ...]:
        """It as `--set` of a recipe."""
        return (
            f"preprocessing.height={self.height}",
            f"preprocessing.width={self.width}",
            f"preprocessing.resize={self.resize}",
        )


@dataclass(frozen=True)
class Sample:
    """Images prepared for one starting network: (N, height, width, channels), and (N,) of each."""

    images: torch.Tensor
    labels: Integers
    folds: Integers
    on_right: Booleans | None

    def merit(self, views: list[torch.Tensor], *, whitened: bool) -> Merit | None:
        """How well features of them tell their classes apart; see `trial.merit`."""
        return merit(views, self.labels, self.folds, whitened=whitened, on_right=self.on_right)


@dataclass(frozen=True)
class Trials:
    """What every trial needs."""

    folder: ImageFolder
    seed: int
    device: torch.device
    reporter: Reporter

    def sample(self, spec: Preprocessing, title: str) -> Sample:
        """The folder's images as a network takes them.

        Args:
            spec: How it takes them.
            title: What users are told it is for.
        """
        with self.reporter.task(title, len(self.folder.items)) as task:
            pixels = load_pixels(
                self.folder,
                spec,
                budget=sys.maxsize,  # They are few.
                workers=available_cpus(),
                on_progress=task.update,
            )
        if not isinstance(pixels, PixelsInMemory):
            raise TypeError("images within the budget are held in memory")
        folder = pixels.folder
        folds = deal(len(folder.classes), numpy_generator(self.seed, Stream.CHOICE, 1))
        on_right = folder.on_right if folder.two_sided else None
        return Sample(pixels.images, folder.labels, folds[folder.labels], on_right)


def try_ink(trials: Trials, looks: Looks, names: Collection[str]) -> list[Tried]:
    """The model `glyphs` as it ships; if it was trained on classes of these names, that is told.

    Args:
        trials: What every trial needs.
        looks: Of the images.
        names: Of all classes, those held out among them.

    Raises:
        StoreError: It was taken out of the store, or is damaged.
    """
    checkpoint = checkpoints.load(shipped_model(GLYPHS).path)
    learnt = start_learnt(Start(model=str(checkpoint.path)), ModelStore())
    known = set(names).intersection(learnt or ())
    what = "the model glyphs"
    if known:
        what += (
            f" (flattered: {len(known):,} of these {len(set(names)):,} names are of its training)"
        )
    spec = checkpoint.manifest.preprocessing
    overrides: tuple[str, ...] = (f"start.model={checkpoint.path}", *_GENTLE)
    if looks.dark_paper:
        spec = spec.model_copy(update={"invert": True})
        overrides = (*overrides, "preprocessing.invert=true")
    if len(trials.folder.group_names) < 2:
        overrides = (*overrides, *_WITHOUT_GROUPS)
    sample = trials.sample(spec, "trying glyphs")
    found = sample.merit([model_features(checkpoint, sample.images)], whitened=False)
    return [] if found is None else [Tried(what, GLYPHS, overrides, found)]


def find_faces(trials: Trials) -> DlibFace | None:
    """The face network of dlib, if there is a face in nearly all of a few images.

    None also where its weights cannot be read, which is said.
    """
    try:
        network = load_face_network(trials.device)
    except StoreError as error:
        trials.reporter.say(f"note: dlib's face network is not tried: {error}")
        return None
    spec = load_recipe(FACES).preprocessing
    few = replace(trials, folder=_evenly(trials.folder, _LOOKED_FOR_FACES))
    sample = few.sample(spec, "looking for faces")
    _, found = face_features(network, sample.images, spec, trials.device)
    seen = int(found.sum())
    if seen < _NEARLY_ALL * len(found):
        return None
    trials.reporter.say(f"there is a face in {seen} of {len(found)} images looked at")
    return network


def try_faces(trials: Trials, network: DlibFace) -> list[Tried]:
    """The face network of dlib as it is."""
    spec = load_recipe(FACES).preprocessing
    sample = trials.sample(spec, "trying dlib's face network")
    features, _ = face_features(network, sample.images, spec, trials.device)
    found = sample.merit([features], whitened=False)
    return [] if found is None else [Tried("dlib's face network", FACES, (), found)]


def _evenly(folder: ImageFolder, count: int) -> ImageFolder:
    """So many images of a folder, evenly spaced."""
    positions = np.unique(np.linspace(0, len(folder.items) - 1, count).astype(int)).tolist()
    return folder.only(positions)


def try_imagenet(trials: Trials, shape: Shape) -> list[Tried]:
    """Every layer as it lies; the best of them once more, mirrored images counting as the same."""
    spec = load_recipe(PHOTOS).preprocessing.model_copy(
        update={"height": shape.height, "width": shape.width, "resize": shape.resize}
    )
    sample = trials.sample(spec, "trying ImageNet weights")
    plain = imagenet_features(sample.images, spec, trials.device)
    tried: dict[Layer, Tried] = {}
    with trials.reporter.task("comparing layers", len(LAYERS) + 1) as task:
        for layer in LAYERS:
            found = sample.merit([plain[layer]], whitened=True)
            if found is not None:
                overrides = (*shape.overrides(), *layer.overrides(plain[layer].shape[1]))
                tried[layer] = Tried(layer.described(), PHOTOS, overrides, found)
            task.update(task.done + 1)
        if not tried:
            return []
        best = min(tried, key=lambda layer: tried[layer].rank)
        mirrored = imagenet_features(sample.images.flip(2), spec, trials.device, [best])[best]
        found = sample.merit([plain[best], mirrored], whitened=True)
        task.update(task.done + 1)
    both = [] if found is None else [tried[best].mirrored(found)]
    return [*tried.values(), *both]
