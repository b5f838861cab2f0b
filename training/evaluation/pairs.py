"""Which pairs a folder of images gives, and their scores."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from model_store.metric import Metric
from model_store.network import SiameseNetwork
from model_store.network.comparators import Comparator
from training.embedding import EmbeddedFolder
from training.errors import DataError
from training.evaluation.metrics import Floats, Indices, alike

MAX_IMPOSTORS = 1_000_000
MAX_GENUINE = 2_000_000

Coverage = Literal["exhaustive", "sample"]

# Values in one chunk of embeddings: 64 MiB as float32.
_CHUNK_VALUES = 1 << 24


@dataclass(frozen=True)
class Pairs:
    """Pairs of images by position.

    Attributes:
        left: int64 (P,), rows of the left images.
        right: int64 (P,), rows of the right images.
        coverage: Whether these are all the pairs of their kind.
    """

    left: Indices
    right: Indices
    coverage: Coverage = "exhaustive"


@dataclass(frozen=True)
class PairPool:
    """All pairs that can be formed, of which some or all are taken.

    Attributes:
        left: int64 (L,), classes of the images that stand left.
        right: int64 (R,), classes of those that stand right, in the same numbering.
        itself: Whether both are the same images: one is then never paired with itself.
        ordered: Whether (a, b) and (b, a) are two pairs; without, `left` and `right` are the same.
    """

    left: Indices
    right: Indices
    itself: bool
    ordered: bool

    def genuine(self, limit: int, generator: np.random.Generator) -> Pairs:
        """Pairs of one class: all, or a sample of `limit`."""
        rows = _rows_by_class(self.left)
        columns = _rows_by_class(self.right)
        shared = sorted(rows.keys() & columns.keys())
        total = sum(self._count(len(rows[label]), len(columns[label])) for label in shared)
        if total > limit:
            return self._sample(limit, generator, same=True)
        grids = [_grid(rows[label], columns[label]) for label in shared]
        return self._allowed(grids)

    def impostors(self, limit: int, generator: np.random.Generator) -> Pairs:
        """Pairs of two classes: all, or a sample of `limit`."""
        same = sum(
            int(np.sum(self.left == label)) * int(np.sum(self.right == label))
            for label in np.unique(self.left)
        )
        total = (len(self.left) * len(self.right) - same) // (1 if self.ordered else 2)
        if total > limit:
            return self._sample(limit, generator, same=False)
        grids = [
            _grid(rows, np.flatnonzero(self.right != label))
            for label, rows in _rows_by_class(self.left).items()
        ]
        return self._allowed(grids)

    def _count(self, rows: int, columns: int) -> int:
        pairs = rows * columns - (rows if self.itself else 0)
        return pairs if self.ordered else pairs // 2

    def _allowed(self, grids: list[tuple[Indices, Indices]]) -> Pairs:
        left = np.concatenate([grid[0] for grid in grids] or [np.empty(0, np.int64)])
        right = np.concatenate([grid[1] for grid in grids] or [np.empty(0, np.int64)])
        kept = np.ones(len(left), dtype=bool)
        if self.itself:
            kept = left != right if self.ordered else left < right
        return Pairs(left[kept], right[kept])

    def _sample(self, limit: int, generator: np.random.Generator, *, same: bool) -> Pairs:
        """Draws until `limit` different pairs are there: each pair is as likely as any other."""
        codes = np.empty(0, dtype=np.int64)
        while len(codes) < limit:
            if same:
                left, right = self._draw_genuine(2 * limit, generator)
            else:
                left = generator.integers(0, len(self.left), size=2 * limit)
                right = generator.integers(0, len(self.right), size=2 * limit)
            kept = (self.left[left] == self.right[right]) == same
            if self.itself:
                kept &= left != right
            left, right = left[kept], right[kept]
            if not self.ordered:
                left, right = np.minimum(left, right), np.maximum(left, right)
            codes = np.concatenate([codes, left * len(self.right) + right])
            _, first = np.unique(codes, return_index=True)
            codes = codes[np.sort(first)]
        left, right = np.divmod(codes[:limit], len(self.right))
        return Pairs(left, right, "sample")

    def _draw_genuine(self, count: int, generator: np.random.Generator) -> tuple[Indices, Indices]:
        rows, columns = _rows_by_class(self.left), _rows_by_class(self.right)
        shared = sorted(rows.keys() & columns.keys())
        sizes = np.array([len(rows[label]) * len(columns[label]) for label in shared])
        times = generator.multinomial(count, sizes / sizes.sum())
        left = [generator.choice(rows[label], n) for label, n in zip(shared, times, strict=True)]
        right = [
            generator.choice(columns[label], n) for label, n in zip(shared, times, strict=True)
        ]
        order = generator.permutation(count)
        return np.concatenate(left)[order], np.concatenate(right)[order]


@dataclass(frozen=True)
class ScoredPairs:
    """Genuine and impostor pairs with their scores.

    Attributes:
        metric: What the scores mean.
        genuine: Float64 (G,), in the metric's own unit and direction.
        impostor: Float64 (I,), likewise.
        genuine_class: int64 (G,), the class of each genuine pair.
        impostor_classes: int64 (I, 2), the classes of each impostor pair.
        genuine_pairs: Which images they are.
        impostor_pairs: Likewise.
        images: Images that could have taken part.
    """

    metric: Metric
    genuine: Floats
    impostor: Floats
    genuine_class: Indices
    impostor_classes: Indices
    genuine_pairs: Pairs
    impostor_pairs: Pairs
    images: int

    @property
    def classes(self) -> int:
        """Classes that take part."""
        return len(np.union1d(self.genuine_class, self.impostor_classes))

    @property
    def genuine_alike(self) -> Floats:
        """`genuine`, turned so that higher is alike."""
        return alike(self.genuine, self.metric)

    @property
    def impostor_alike(self) -> Floats:
        """`impostor`, turned so that higher is alike."""
        return alike(self.impostor, self.metric)


def score_folder(
    network: SiameseNetwork,
    left: EmbeddedFolder,
    right: EmbeddedFolder | None = None,
    *,
    seed: int = 0,
    max_impostors: int = MAX_IMPOSTORS,
    max_genuine: int = MAX_GENUINE,
) -> ScoredPairs:
    """Scores the genuine and impostor pairs of a folder, or between two folders.

    Args:
        network: Its comparator scores, on the device it is on.
        left: Images as the first of a pair.
        right: Images as the second, classes matched by name. Without it pairs are formed within
            `left`; a network whose sides differ needs it: for one folder, the same images
            embedded on the right side.
        seed: Of the sample, where one is drawn.
        max_impostors: Above this number a sample of that size is taken.
        max_genuine: Likewise.

    Raises:
        DataError: There is no pair of the one kind or the other.
    """
    if right is None and not network.shares_weights:
        raise ValueError("a network whose sides differ needs the right side's embeddings")
    pool = pair_pool(left, right)
    generator = np.random.default_rng(seed)
    genuine = pool.genuine(max_genuine, generator)
    impostor = pool.impostors(max_impostors, generator)
    if not len(genuine.left) or not len(impostor.left):
        source = left.folder.source
        raise DataError(
            f"{source} gives {len(genuine.left)} pairs of one class and {len(impostor.left)} of "
            "two: at least two classes are needed, one of them with two images"
        )
    other = right or left
    return ScoredPairs(
        metric=network.comparator.metric,
        genuine=score_pairs(network, left.embeddings, other.embeddings, genuine),
        impostor=score_pairs(network, left.embeddings, other.embeddings, impostor),
        genuine_class=pool.left[genuine.left],
        impostor_classes=np.stack([pool.left[impostor.left], pool.right[impostor.right]], axis=1),
        genuine_pairs=genuine,
        impostor_pairs=impostor,
        images=len(left.labels) + (0 if pool.itself else len(other.labels)),
    )


def pair_pool(left: EmbeddedFolder, right: EmbeddedFolder | None) -> PairPool:
    """The pairs within a folder, or between two whose classes are matched by name."""
    if right is None:
        return PairPool(left.labels, left.labels, itself=True, ordered=False)
    itself = left.folder.source == right.folder.source and left.folder.items == right.folder.items
    return PairPool(left.labels, match_labels(left, right), itself=itself, ordered=True)


def match_labels(left: EmbeddedFolder, right: EmbeddedFolder) -> Indices:
    """The labels of `right` in the numbering of `left`, classes matched by name.

    Where not one name is in both, what stands after the last `/` is compared, if that is unique on
    both sides: one side may lie in groups and the other not.

    Returns:
        int64 (R,); classes that `left` does not have get numbers from `len(left classes)` on.
    """
    ours = [entry.name for entry in left.folder.classes]
    theirs = [entry.name for entry in right.folder.classes]
    if not set(ours) & set(theirs):
        short = [[name.rsplit("/", 1)[-1] for name in names] for names in (ours, theirs)]
        if all(len(set(names)) == len(names) for names in short):
            ours, theirs = short
    numbers = {name: label for label, name in enumerate(ours)}
    for name in theirs:
        numbers.setdefault(name, len(numbers))
    return np.array([numbers[name] for name in theirs], dtype=np.int64)[right.labels]


def score_pairs(
    network: SiameseNetwork, left: torch.Tensor, right: torch.Tensor, pairs: Pairs
) -> Floats:
    """The scores of pairs of embeddings, chunk by chunk on the network's device.

    Where both sides share weights and the comparator still depends on the order of its two
    embeddings, the score is the mean over both orders.

    Args:
        network: Its comparator scores.
        left: float32 (L, dimension).
        right: float32 (R, dimension).
        pairs: Rows of the two.

    Returns:
        Float64 (P,), in the comparator's metric.
    """
    device = next(network.branches.parameters()).device
    chunk = max(64, _CHUNK_VALUES // left.shape[1])
    scores = np.empty(len(pairs.left), dtype=np.float64)
    with _scoring(network.comparator):
        for start in range(0, len(scores), chunk):
            part = slice(start, start + chunk)
            first = left[torch.from_numpy(pairs.left[part])].to(device)
            second = right[torch.from_numpy(pairs.right[part])].to(device)
            scores[part] = _compare(network, first, second)
    return _finite(scores)


def score_matrix(network: SiameseNetwork, queries: torch.Tensor, gallery: torch.Tensor) -> Floats:
    """The scores of every query against every gallery embedding, as `score_pairs` gives them.

    Returns:
        Float64 (queries, gallery), in the comparator's metric.
    """
    device = next(network.branches.parameters()).device
    queries, gallery = queries.to(device), gallery.to(device)
    scores = np.empty((len(queries), len(gallery)), dtype=np.float64)
    with _scoring(network.comparator):
        for row in range(len(queries)):
            scores[row] = _compare(network, queries[row : row + 1], gallery)
    return _finite(scores)


@contextmanager
def _scoring(comparator: Comparator) -> Iterator[None]:
    """Without dropout or gradients inside, and as it was after."""
    modes = [(module, module.training) for module in comparator.modules()]
    comparator.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def _compare(network: SiameseNetwork, first: torch.Tensor, second: torch.Tensor) -> Floats:
    scores: torch.Tensor = network.comparator(first, second)
    if network.shares_weights and not network.comparator.symmetric:
        scores = (scores + network.comparator(second, first)) / 2
    return scores.double().cpu().numpy()


def _finite(scores: Floats) -> Floats:
    wrong = int(np.sum(~np.isfinite(scores)))
    if wrong:
        raise DataError(
            f"the network's scores are not numbers for {wrong:,} of {scores.size:,} pairs; its "
            "weights are of no use: train it again with a lower learning rate"
        )
    return scores


def _rows_by_class(labels: Indices) -> dict[int, Indices]:
    return {int(label): np.flatnonzero(labels == label) for label in np.unique(labels)}


def _grid(rows: Indices, columns: Indices) -> tuple[Indices, Indices]:
    return np.repeat(rows, len(columns)), np.tile(columns, len(rows))
