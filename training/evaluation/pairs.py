"""The genuine and impostor pairs of a folder of images, scored."""

from dataclasses import dataclass, replace

import numpy as np

from model_store.metric import Metric
from model_store.network import SiameseNetwork
from training.data.folders import ImageFolder
from training.errors import DataError
from training.evaluation.answers import NONE
from training.evaluation.embedding import EmbeddedFolder
from training.evaluation.metrics import Floats, Indices, alike
from training.evaluation.pool import PairPool, Pairs
from training.evaluation.scoring import score_pairs

MAX_IMPOSTORS = 1_000_000
MAX_GENUINE = 2_000_000


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
        group_of_class: int64, the group of each class by its number; None where there are none.
        class_names: Of the left folder's classes by their numbers; others come after them.
    """

    metric: Metric
    genuine: Floats
    impostor: Floats
    genuine_class: Indices
    impostor_classes: Indices
    genuine_pairs: Pairs
    impostor_pairs: Pairs
    images: int
    group_of_class: Indices | None = None
    class_names: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """Classes that take part."""
        return len(np.union1d(self.genuine_class, self.impostor_classes))

    @property
    def paired_classes(self) -> int:
        """Classes that give genuine pairs, as one of a single image does not."""
        return len(np.unique(self.genuine_class))

    @property
    def unpaired(self) -> tuple[str, ...]:
        """The left folder's classes that give none; empty where those are a sample."""
        if self.genuine_pairs.coverage == "sample":
            return ()
        paired = set(self.genuine_class.tolist())
        return tuple(name for label, name in enumerate(self.class_names) if label not in paired)

    @property
    def genuine_alike(self) -> Floats:
        """`genuine`, turned so that higher is alike."""
        return alike(self.genuine, self.metric)

    @property
    def impostor_alike(self) -> Floats:
        """`impostor`, turned so that higher is alike."""
        return alike(self.impostor, self.metric)

    def within(self, classes: Indices) -> "ScoredPairs":
        """Only the pairs that are of these classes alone.

        Args:
            classes: int64, numbers of classes.
        """
        ours = np.isin(self.genuine_class, classes)
        others = np.asarray(np.isin(self.impostor_classes, classes).all(axis=1))
        genuine, impostor = self.genuine_pairs.only(ours), self.impostor_pairs.only(others)
        taking_part = np.union1d(
            np.union1d(genuine.left, genuine.right), np.union1d(impostor.left, impostor.right)
        )
        return replace(
            self,
            genuine=self.genuine[ours],
            impostor=self.impostor[others],
            genuine_class=self.genuine_class[ours],
            impostor_classes=self.impostor_classes[others],
            genuine_pairs=genuine,
            impostor_pairs=impostor,
            images=len(taking_part),
        )


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
    source = left.folder.source
    if right is not None and not len(genuine.left):
        raise DataError(
            f"no image of {source} has another of its class in {right.folder.source}; classes are "
            "matched by the names of their folders"
        )
    if not len(genuine.left) or not len(impostor.left):
        raise DataError(
            f"{source} gives {len(genuine.left)} pairs of one class and {len(impostor.left)} of "
            "two: at least two classes are needed, one of them with two images"
        )
    other = right or left
    names = left.folder.class_names
    return ScoredPairs(
        metric=network.comparator.metric,
        genuine=score_pairs(network, left.embeddings, other.embeddings, genuine),
        impostor=score_pairs(network, left.embeddings, other.embeddings, impostor),
        genuine_class=pool.left[genuine.left],
        impostor_classes=np.stack([pool.left[impostor.left], pool.right[impostor.right]], axis=1),
        genuine_pairs=genuine,
        impostor_pairs=impostor,
        images=len(left.labels) + len(other.labels) - int((pool.itself != NONE).sum()),
        group_of_class=None if pool.right.max() >= len(names) else groups_of(left.folder),
        class_names=names,
    )


def groups_of(folder: ImageFolder) -> Indices | None:
    """int64 (classes,), the group of each class by its number; None where there are no groups."""
    return folder.groups if all(entry.group for entry in folder.classes) else None


def pool_within(folder: ImageFolder) -> PairPool:
    """The pairs of a folder's images; where they have sides, of a left and a right one."""
    if folder.two_sided:
        left, right = folder.labels[~folder.on_right], folder.labels[folder.on_right]
        return PairPool(left, right, np.full(len(left), NONE, dtype=np.int64), ordered=True)
    return PairPool.within(folder.labels)


def pair_pool(left: EmbeddedFolder, right: EmbeddedFolder | None) -> PairPool:
    """The pairs within a folder, or between two whose classes are matched by name."""
    if right is None:
        return PairPool.within(left.labels)
    itself = rows_of_itself(left.folder, right.folder)
    return PairPool(left.labels, match_labels(left, right), itself, ordered=True)


def rows_of_itself(left: ImageFolder, right: ImageFolder) -> Indices:
    """Where each image of a folder is in another, which may be a part of it or hold it.

    An image is told by where it lies, however that is spelt: of one folder each side may have
    other classes or images, so that neither labels nor positions need be the same.

    Returns:
        int64 (L,), rows of `right`; `NONE` where an image is not there.
    """
    ours, theirs = left.source.resolve(), right.source.resolve()
    rows = {f"{theirs}/{item.key}": row for row, item in enumerate(right.items)}
    return np.array([rows.get(f"{ours}/{item.key}", NONE) for item in left.items], dtype=np.int64)


def match_labels(left: EmbeddedFolder, right: EmbeddedFolder) -> Indices:
    """The labels of `right` in the numbering of `left`, classes matched by name.

    Where not one name is in both, what stands after the last `/` is compared, if that is unique on
    both sides: one side may lie in groups and the other not.

    Returns:
        int64 (R,); classes that `left` does not have get numbers from `len(left classes)` on.
    """
    ours, theirs = left.folder.class_names, right.folder.class_names
    if not set(ours) & set(theirs):
        short = [tuple(name.rsplit("/", 1)[-1] for name in names) for names in (ours, theirs)]
        if all(len(set(names)) == len(names) for names in short):
            ours, theirs = short
    numbers = {name: label for label, name in enumerate(ours)}
    for name in theirs:
        numbers.setdefault(name, len(numbers))
    return np.array([numbers[name] for name in theirs], dtype=np.int64)[right.labels]
