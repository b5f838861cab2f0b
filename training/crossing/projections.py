"""Crossing by the projection, of which many can be fitted in a second."""

import numpy as np
import torch

from model_store.network import SiameseNetwork
from training.crossing.refitting import Refitting
from training.crossing.turns import Crossed, crossed, score_as_they_are
from training.data.folders import ImageFolder
from training.data.sample import sampled_folder
from training.data.split import units_of
from training.evaluation.embedding import embed_told
from training.evaluation.metrics import Indices
from training.initialise import MOST_IMAGES
from training.progress import Reporter
from training.randomness import Stream, numpy_generator
from training.recipe import Recipe

_SETS = 30
"""Sets of classes left out, at least; twice as many gave thresholds no better."""

_DEALS = 20
"""Deals of which that one is taken in which most pairs of classes are new."""


def cross_pairs(
    network: SiameseNetwork,
    folder: ImageFolder,
    recipe: Recipe,
    *,
    max_impostors: int,
    device: torch.device,
    reporter: Reporter,
) -> Crossed:
    """Scores pairs of all classes, those among them that the network's projection is fitted to.

    Args:
        network: As it will be stored.
        folder: The images of all classes.
        recipe: How the network was made; `can_cross` holds.
        max_impostors: Impostor pairs at most.
        device: Where to compute.
        reporter: Told how far it is.

    Raises:
        DataError: There is no pair of the one kind or the other.
    """
    some = sampled_folder(folder, MOST_IMAGES, seed=recipe.seed)
    if recipe.start.projection is None:
        # Nothing was fitted to anybody, so nobody need be left out.
        known = embed_told(network, some, "calibrating", device=device, reporter=reporter)
        return Crossed(known, score_as_they_are(network, known, recipe.seed, max_impostors))
    refitting = Refitting.of(network, some, recipe, device, reporter)
    sets = left_out(refitting.embedded.folder, recipe)
    with reporter.task("crossing", len(sets)) as task:
        return crossed(
            refitting.embedded,
            sets,
            lambda classes: (refitting.network, refitting.without(classes)),
            max_impostors=max_impostors,
            seed=recipe.seed,
            on_progress=task.update,
        )


def left_out(folder: ImageFolder, recipe: Recipe) -> list[Indices]:
    """Sets of classes to leave out, one after another: `_SETS` of them or a few more.

    Each class is left out about as often as any other, and together with ever other ones.

    Args:
        folder: All classes.
        recipe: Its shares say how many are left out, and its seed which.
    """
    units = units_of(folder)
    count = int(units.max()) + 1
    share = recipe.split.validation or recipe.split.calibration
    size = max(2, min(round(share * count), count - 1))
    rng = numpy_generator(recipe.seed, Stream.CROSSING)
    had = np.eye(count, dtype=np.bool_)
    found: list[Indices] = []
    while len(found) < _SETS:
        deals = [_deal(count, size, rng) for _ in range(_DEALS)]
        deal = max(deals, key=lambda deal: sum(int((~had[np.ix_(s, s)]).sum()) for s in deal))
        for drawn in deal:
            had[np.ix_(drawn, drawn)] = True
            found.append(np.flatnonzero(np.isin(units, drawn)))
    return found


def _deal(count: int, size: int, rng: np.random.Generator) -> list[Indices]:
    order = rng.permutation(count)
    return [order[at : at + size] for at in range(0, count - size + 1, size)]
