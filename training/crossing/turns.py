"""The pairs of classes that are left out together, scored as their turn comes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from model_store.network import SiameseNetwork, Side
from training.calibration import Turn
from training.data.folders import ImageFolder
from training.errors import DataError
from training.evaluation.embedding import EmbeddedFolder
from training.evaluation.metrics import Floats, Indices
from training.evaluation.pairs import ScoredPairs, groups_of, pool_within, score_folder
from training.evaluation.pool import Coverage, Pairs
from training.evaluation.scoring import score_pairs
from training.randomness import Stream, numpy_generator


@dataclass(frozen=True)
class Crossed:
    """Pairs scored as if neither of their classes had been there before.

    Attributes:
        embedded: The images, of many a fair sample, by the network itself.
        scored: The pairs.
        turns: All images once each, by a network fitted without their classes; empty where the
            network itself was fitted to none.
    """

    embedded: EmbeddedFolder
    scored: ScoredPairs
    turns: tuple[Turn, ...] = ()


def crossed(
    embedded: EmbeddedFolder,
    sets: Sequence[Indices],
    without: Callable[[Indices], tuple[SiameseNetwork, torch.Tensor]],
    *,
    max_impostors: int,
    seed: int,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Crossed:
    """Scores the pairs of classes left out together, each pair once, the left image first.

    Args:
        embedded: The images, by the network itself.
        sets: Of classes to leave out, one after another.
        without: For some classes, a network that they had no part in, of one branch, and what it
            makes of all images: features, float32 (N, dimension). Not asked for a set where no
            pair has its turn, and one of the classes was measured; asked once more for the
            classes that the sets leave unmeasured.
        max_impostors: Impostor pairs at most; each that a set holds is as likely as any other.
        seed: Of the draw of those, if there are more.
        on_progress: Told how many sets are done.

    Raises:
        DataError: There is no pair of the one kind or the other.
    """
    folder, labels = embedded.folder, embedded.labels
    left, right, turn = _due(folder, sets, max_impostors, numpy_generator(seed, Stream.CROSSING, 1))
    same = labels[left] == labels[right]
    genuine, impostor = _Collected(), _Collected()
    turns: list[Turn] = []
    measured = np.zeros(len(labels), dtype=np.bool_)
    metric = None
    for number, classes in enumerate(sets):
        on_progress(number + 1)
        held = np.isin(labels, classes)
        here = turn == number
        unmeasured = bool(held.any()) and not measured[held].any()
        if not (here.any() or unmeasured):
            continue
        network, features = without(classes)
        metric = network.comparator.metric
        if unmeasured:
            turns.append(Turn(held, features.numpy()))
            measured |= held
        embeddings = network.finish(features, Side.LEFT)
        for part, chosen in ((genuine, here & same), (impostor, here & ~same)):
            pairs = Pairs(left[chosen], right[chosen])
            part.add(pairs, score_pairs(network, embeddings, embeddings, pairs))
    if metric is None or not genuine or not impostor:
        raise DataError(
            f"{folder.source} gives no pairs to calibrate by: at least two classes are needed, one "
            f"of them with {'an image on either side' if folder.two_sided else 'two images'}"
        )
    if not measured.all():
        # What a deal leaves over comes only with classes measured before; left out of them, its
        # images would count as typical wherever they lie, and there may be no others.
        _, features = without(np.unique(labels[~measured]))
        turns.append(Turn(~measured, features.numpy()))
    pool = pool_within(folder)
    ours, our_scores = genuine.joined(pool.genuine_total)
    theirs, their_scores = impostor.joined(pool.impostor_total, max_impostors)
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
        class_names=folder.class_names,
    )
    return Crossed(embedded, scored, tuple(turns))


def score_as_they_are(
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
        return replace(pairs, left=lefts[pairs.left], right=rights[pairs.right])

    return replace(
        scored,
        genuine_pairs=whole(scored.genuine_pairs),
        impostor_pairs=whole(scored.impostor_pairs),
    )


def _due(
    folder: ImageFolder, sets: Sequence[Indices], max_impostors: int, rng: np.random.Generator
) -> tuple[Indices, Indices, Indices]:
    """The pairs that are scored: their left rows, right rows, and the first set that holds them."""
    first = np.full((len(folder.classes), len(folder.classes)), -1, dtype=np.int64)
    for number in reversed(range(len(sets))):
        first[np.ix_(sets[number], sets[number])] = number
    if folder.two_sided:
        lefts, rights = np.flatnonzero(~folder.on_right), np.flatnonzero(folder.on_right)
        left, right = np.repeat(lefts, len(rights)), np.tile(rights, len(lefts))
    else:
        left, right = np.triu_indices(len(folder.labels), 1)
    one, other = folder.labels[left], folder.labels[right]
    turn = first[one, other]
    kept = turn >= 0
    # Of all sets at once: later sets have fewer pairs left, each of which would come more often.
    impostors = np.flatnonzero(kept & (one != other))
    if len(impostors) > max_impostors:
        kept[rng.permutation(impostors)[max_impostors:]] = False
    return left[kept], right[kept], turn[kept]


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

    def joined(self, total: int, limit: int | None = None) -> tuple[Pairs, Floats]:
        """All of them.

        Args:
            total: How many pairs of the kind there are.
            limit: How many were taken at most, if there was one. Of pairs that no turn can score
                none are left out by it.
        """
        left, right = np.concatenate(self._left), np.concatenate(self._right)
        coverage: Coverage = "exhaustive" if len(left) == total else "sample"
        limited = coverage == "sample" and len(left) == limit
        return Pairs(left, right, coverage, limited), np.concatenate(self._scores)
