"""Pairs of all classes, each scored by a projection that neither of its classes had a part in.

Where all that is fitted to a user's images is a projection in closed form, it can be fitted again
in a second. Then no class need be kept for calibration alone: a few classes at a time are left out,
the projection is fitted to the others, and the pairs of those left out are scored; and so on until
most had their turn (cross-validation: Stone 1974, Journal of the Royal Statistical Society B 36).
As many are left out as the model itself is fitted without, so that what calibrates it scores as it
does. Where images have sides, pairs are of a left and a right one, as the model will be asked for.

A few classes kept aside decide a threshold by the accident of which two of them look alike: at that
for 1 % false accepts, other classes had 3 % in the mean where six of forty were kept, and 10 %
where three of twenty were (training/experiments.md).
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from model_store.network import SiameseNetwork, Side
from model_store.network.branch import Branch
from model_store.store import ModelStore
from training.calibration import Turn
from training.components import build
from training.data.augmentation import AUGMENTATIONS
from training.data.folders import ImageFolder
from training.data.sample import sampled_folder
from training.data.split import units_of
from training.errors import DataError
from training.evaluation.embedding import EmbeddedFolder, embed_folder
from training.evaluation.metrics import Floats, Indices
from training.evaluation.pairs import ScoredPairs, groups_of, pool_within, score_folder
from training.evaluation.pool import Coverage, Pairs
from training.evaluation.scoring import score_pairs
from training.initialise import MOST_IMAGES, is_shipped, set_whitened
from training.progress import Reporter
from training.randomness import Stream, numpy_generator
from training.recipe import Recipe
from training.recipe.sections import DLIB, IMAGENET

_SETS = 30
"""Sets of classes left out, at least; twice as many gave thresholds no better."""

_LEAST_CLASSES = 3
"""Two that are left out together, and one that a projection is fitted to meanwhile."""

_DEALS = 20
"""Deals of which that one is taken in which most pairs of classes are new."""


@dataclass(frozen=True)
class Crossed:
    """Pairs scored as if neither of their classes had been there before.

    Attributes:
        embedded: The images, of many a fair sample, by the network itself.
        scored: The pairs.
        turns: Most images once each, by a network fitted without their classes; empty where the
            network itself was fitted to none.
    """

    embedded: EmbeddedFolder
    scored: ScoredPairs
    turns: tuple[Turn, ...] = ()


def can_cross(recipe: Recipe, store: ModelStore) -> bool:
    """Whether nothing is fitted to its user's images but, at most, a projection in closed form.

    Not where it starts from weights that may have seen these images before.

    Args:
        recipe: How the network is made.
        store: Where a model to start from is looked for.

    Raises:
        StoreError: It is not there.
    """
    turned = recipe.start.projection is not None and recipe.data.turned_classes
    return (
        recipe.max_steps == 0
        and not turned
        and len(recipe.network.branches) == 1
        and recipe.finish.projection is None
        and starts_unseen(recipe, store)
    )


def check_crossing(folder: ImageFolder, recipe: Recipe) -> None:
    """Refuses data of which no class would be left to fit a projection to.

    Args:
        folder: All classes.
        recipe: `can_cross` holds.

    Raises:
        DataError: There are too few classes.
    """
    if recipe.start.projection is not None and len(folder.classes) < _LEAST_CLASSES:
        raise DataError(
            f"{folder.source} has {len(folder.classes)} class(es), and calibrating needs at least "
            f"{_LEAST_CLASSES}: two are left out at a time, and the projection is fitted to the "
            "others. Add classes, or do without calibration (--set split.validation=0 --set "
            "split.calibration=0)"
        )


def starts_unseen(recipe: Recipe, store: ModelStore) -> bool:
    """Whether the weights that training starts from cannot have seen its user's images.

    Arguments and errors as of `can_cross`.
    """
    start = recipe.start
    if start.model is not None:
        return is_shipped(start.model, store)
    return start.backbone in (None, IMAGENET, DLIB)


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
        known = embed_told(network, some, "calibrating", device, reporter)
        return Crossed(known, _as_they_are(network, known, recipe.seed, max_impostors))
    refitting = _Refitting.of(network, some, recipe, device, reporter)
    sets = left_out(refitting.embedded.folder, recipe)
    with reporter.task("crossing", len(sets)) as task:
        return crossed(
            refitting.embedded,
            sets,
            lambda number: (refitting.network, refitting.without(sets[number])),
            max_impostors=max_impostors,
            seed=recipe.seed,
            on_progress=task.update,
        )


def crossed(
    embedded: EmbeddedFolder,
    sets: Sequence[Indices],
    without: Callable[[int], tuple[SiameseNetwork, torch.Tensor]],
    *,
    max_impostors: int,
    seed: int,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Crossed:
    """Scores the pairs of classes left out together, each pair once, the left image first.

    Args:
        embedded: The images, by the network itself.
        sets: Of classes to leave out, one after another.
        without: For the number of a set, a network that its classes had no part in, of one branch,
            and what it makes of all images: features, float32 (N, dimension). Not asked for where
            every pair had its turn before, and one of the classes was measured.
        max_impostors: Impostor pairs at most.
        seed: Of the draw of those, if there are more.
        on_progress: Told how many sets are done.

    Raises:
        DataError: There is no pair of the one kind or the other.
    """
    folder, labels = embedded.folder, embedded.labels
    rng = numpy_generator(seed, Stream.CROSSING, 1)
    genuine, impostor = _Collected(), _Collected()
    had = np.zeros((len(folder.classes), len(folder.classes)), dtype=np.bool_)
    turns: list[Turn] = []
    measured = np.zeros(len(labels), dtype=np.bool_)
    metric = None
    for number, classes in enumerate(sets):
        on_progress(number + 1)
        held = np.isin(labels, classes)
        left, right = _pairs_among(folder, held)
        new = ~had[labels[left], labels[right]]
        unmeasured = bool(held.any()) and not measured[held].any()
        if not (new.any() or unmeasured):
            continue
        genuine_here = labels[left] == labels[right]
        had[np.ix_(classes, classes)] = True
        others = np.flatnonzero(new & ~genuine_here)
        most = max(1, max_impostors // len(sets))
        if len(others) > most:
            others = np.sort(rng.choice(others, most, replace=False))
        network, features = without(number)
        metric = network.comparator.metric
        if unmeasured:
            turns.append(Turn(held, features.numpy()))
            measured |= held
        embeddings = network.finish(features, Side.LEFT)
        for part, chosen in ((genuine, np.flatnonzero(new & genuine_here)), (impostor, others)):
            pairs = Pairs(left[chosen], right[chosen])
            part.add(pairs, score_pairs(network, embeddings, embeddings, pairs))
    if metric is None or not genuine or not impostor:
        raise DataError(
            f"{folder.source} gives no pairs to calibrate by: at least two classes are needed, one "
            f"of them with {'an image on either side' if folder.two_sided else 'two images'}"
        )
    pool = pool_within(folder)
    ours, our_scores = genuine.joined(pool.genuine_total)
    theirs, their_scores = impostor.joined(pool.impostor_total)
    scored = ScoredPairs(
        metric=metric,
        genuine=our_scores,
        impostor=their_scores,
        genuine_class=labels[ours.left],
        impostor_classes=np.stack([labels[theirs.left], labels[theirs.right]], axis=1),
        genuine_pairs=ours,
        impostor_pairs=theirs,
        images=len(labels),
        group_of_class=groups_of(folder),
        class_names=tuple(entry.name for entry in folder.classes),
    )
    return Crossed(embedded, scored, tuple(turns))


def _pairs_among(folder: ImageFolder, held: npt.NDArray[np.bool_]) -> tuple[Indices, Indices]:
    """The rows of all pairs of some images."""
    if folder.two_sided:
        left, right = (
            np.flatnonzero(held & ~folder.on_right),
            np.flatnonzero(held & folder.on_right),
        )
        return np.repeat(left, len(right)), np.tile(right, len(left))
    rows = np.flatnonzero(held)
    first, second = np.triu_indices(len(rows), 1)
    return rows[first], rows[second]


def _as_they_are(
    network: SiameseNetwork, known: EmbeddedFolder, seed: int, max_impostors: int
) -> ScoredPairs:
    """As `score_folder`, the rows of pairs being those of the whole folder where it is sided."""
    if not known.folder.two_sided:
        return score_folder(network, known, seed=seed, max_impostors=max_impostors)
    left, right = known.on(Side.LEFT), known.on(Side.RIGHT)
    scored = score_folder(network, left, right, seed=seed, max_impostors=max_impostors)
    on_right = known.folder.on_right
    lefts, rights = np.flatnonzero(~on_right), np.flatnonzero(on_right)

    def whole(pairs: Pairs) -> Pairs:
        return Pairs(lefts[pairs.left], rights[pairs.right], pairs.coverage)

    return replace(
        scored,
        genuine_pairs=whole(scored.genuine_pairs),
        impostor_pairs=whole(scored.impostor_pairs),
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


class _Collected:
    """Pairs with their scores, as they come."""

    def __init__(self) -> None:
        self._left: list[Indices] = []
        self._right: list[Indices] = []
        self._scores: list[Floats] = []

    def __bool__(self) -> bool:
        return any(len(scores) for scores in self._scores)

    def add(self, pairs: Pairs, scores: Floats) -> None:
        """Takes some in."""
        self._left.append(pairs.left)
        self._right.append(pairs.right)
        self._scores.append(scores)

    def joined(self, total: int) -> tuple[Pairs, Floats]:
        """All of them.

        Args:
            total: How many pairs of the kind there are.
        """
        left, right = np.concatenate(self._left), np.concatenate(self._right)
        coverage: Coverage = "exhaustive" if len(left) == total else "sample"
        return Pairs(left, right, coverage), np.concatenate(self._scores)


@dataclass(frozen=True)
class _Refitting:
    """What comes into a network's projection, and the network to fit it in anew.

    Attributes:
        network: A copy.
        pooled: float64 (N, D), of the images as they are.
        flipped: float64 (N, D), of their mirror images; None where they do not count.
        fits_flipped: Whether mirror images count as images of their class.
        embedded: The images by the network as it was.
    """

    network: SiameseNetwork
    pooled: torch.Tensor
    flipped: torch.Tensor | None
    fits_flipped: bool
    embedded: EmbeddedFolder

    @staticmethod
    def of(
        network: SiameseNetwork,
        folder: ImageFolder,
        recipe: Recipe,
        device: torch.device,
        reporter: Reporter,
    ) -> "_Refitting":
        """Of the images of a folder."""
        bare = copy.deepcopy(network)
        branch = _branch(bare)
        branch.projection = nn.Sequential()
        branch.mirrored = branch.normalise = False
        plain = embed_told(bare, folder, "calibrating", device, reporter)
        mirrors = build(
            AUGMENTATIONS, "augmentation", recipe.augmentation, recipe.preprocessing
        ).mirrors
        flipped = None
        if mirrors or _branch(network).mirrored:
            branch.backbone = nn.Sequential(_Flip(), branch.backbone)
            found = embed_told(bare, plain.folder, "calibrating, mirrored", device, reporter)
            flipped = found.embeddings.double()
        own = copy.deepcopy(network).cpu().eval()
        made = _Refitting(own, plain.embeddings.double(), flipped, mirrors, plain)
        features = made.features()
        embedded = replace(
            plain, embeddings=_branch(own).finish(features), lengths=features.norm(dim=1)
        )
        return replace(made, embedded=embedded)

    def without(self, classes: Indices) -> torch.Tensor:
        """`features`, by a projection fitted without some classes, which then is the network's."""
        labels = self.embedded.labels
        rest = torch.from_numpy(~np.isin(labels, classes))
        views = [self.pooled]
        if self.flipped is not None and self.fits_flipped:
            views.append(self.flipped)
        known = torch.from_numpy(labels)[rest].repeat(len(views))
        projection = _branch(self.network).projection
        set_whitened([projection], [torch.cat([view[rest] for view in views])], known)
        return self.features()

    def features(self) -> torch.Tensor:
        """float32 (N, dimension): what the network's projection makes of all images."""
        branch = _branch(self.network)
        pooled = self.pooled
        if branch.mirrored and self.flipped is not None:
            pooled = (pooled + self.flipped) / 2
        with torch.no_grad():
            features: torch.Tensor = branch.projection(pooled.float())
        return features


def _branch(network: SiameseNetwork) -> Branch:
    """The one branch of a network whose sides share it."""
    (branch,) = network.branches
    if not isinstance(branch, Branch):
        raise TypeError(f"{type(branch).__name__} is no branch")
    return branch


class _Flip(nn.Module):
    """Mirrors images left to right."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, channels, height, width), likewise."""
        return images.flip(-1)


def embed_told(
    network: SiameseNetwork,
    folder: ImageFolder,
    title: str,
    device: torch.device,
    reporter: Reporter,
) -> EmbeddedFolder:
    """As `embed_folder`, the reporter being told how far it is."""
    with reporter.task(title, len(folder.items)) as task:
        return embed_folder(
            network, folder, device=device, on_progress=lambda done, _: task.update(done)
        )
