"""Fair samples of a folder, where all of it would take too long or too much room.

Of many classes a few images each rather than of few classes many, and classes that have a pair of
images before others: a draw of many classes of one image may have no pair, and nothing to judge by.
"""

import numpy as np
import numpy.typing as npt

from training.data.folders import ImageFolder, Indices

_LEAST_IMAGES = 4

Booleans = npt.NDArray[np.bool_]


def have_pairs(folder: ImageFolder) -> Booleans:
    """Bool (classes,): whether each has two images or, where they have sides, one of either."""
    labels, count = folder.labels, len(folder.classes)
    if not folder.two_sided:
        return np.bincount(labels, minlength=count) >= 2
    left, right = (
        np.bincount(labels[on], minlength=count) for on in (~folder.on_right, folder.on_right)
    )
    return (left > 0) & (right > 0)


def paired_first(paired: Booleans, rng: np.random.Generator) -> Indices:
    """All classes, drawn: int64 (classes,), those that have a pair before the others.

    Args:
        paired: Bool (classes,), as `have_pairs` gives it.
        rng: Of the draw.
    """
    drawn = rng.permutation(len(paired)).astype(np.int64)
    return np.concatenate([drawn[paired[drawn]], drawn[~paired[drawn]]])


def sampled_rows(
    labels: Indices,
    most: int,
    *,
    seed: int,
    paired: Booleans | None = None,
    least: int = _LEAST_IMAGES,
    classes: int | None = None,
) -> Indices:
    """Rows of at most `most` images: so many of each class at most that all classes have room.

    Args:
        labels: int64 (N,), the class of each image.
        most: Images wanted at most; two classes of two images are taken at least.
        seed: Of the draw.
        paired: Bool (N,), whether the class of each image has a pair; whether it has two images
            if not given.
        least: Images of a class that are wanted before another class is.
        classes: Classes wanted at most; all if not given.

    Returns:
        int64, rising; all rows where they are no more than `most`.
    """
    _, first, label, counts = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    if len(labels) <= most and (classes is None or len(counts) <= classes):
        return np.arange(len(labels), dtype=np.int64)
    generator = np.random.default_rng(seed)
    order = paired_first(counts >= 2 if paired is None else paired[first], generator)[:classes]
    each = max(min(least, max(most // 2, 2)), most // len(order))
    fitting = int((np.minimum(counts[order], each).cumsum() <= most).sum())
    taken = np.isin(label, order[: max(2, fitting)])
    drawn = generator.permutation(np.flatnonzero(taken))
    drawn = drawn[np.argsort(label[drawn], kind="stable")]
    before = np.searchsorted(label[drawn], label[drawn])
    return np.sort(drawn[np.arange(len(drawn)) - before < each]).astype(np.int64)


def sampled_folder(folder: ImageFolder, most: int, *, seed: int) -> ImageFolder:
    """A folder of at most `most` images, drawn as `sampled_rows` does.

    Of two sides each gives its share of the same classes: a class keeps an image of either, without
    which it has no pair.
    """
    paired = have_pairs(folder)[folder.labels]
    rows = sampled_rows(folder.labels, most, seed=seed, paired=paired)
    if folder.two_sided and len(rows) < len(folder.items):
        among = np.flatnonzero(np.isin(folder.labels, folder.labels[rows]))
        on_right = folder.on_right[among]
        sides = (among[~on_right], among[on_right])
        rows = np.concatenate(
            [
                side[
                    sampled_rows(
                        folder.labels[side], share, seed=seed, paired=paired[side], least=1
                    )
                ]
                for side, share in zip(sides, shares_of_sides(on_right, most), strict=True)
                if len(side)
            ]
        )
    return folder if len(rows) == len(folder.items) else folder.only(rows.tolist())


def first_of_sides(order: Indices, on_right: Booleans, most: int) -> Indices:
    """The first of images in an order, of either side its share.

    Args:
        order: int64 (N,), the numbers of all images, in the order of a draw.
        on_right: Bool (N,), whether each image is on the right side, by its number.
        most: Images wanted at most; of two sides one of either at least.

    Returns:
        int64 (≤ most,), of one side the first `most`; of two the left ones come first.
    """
    of_order = on_right[order]
    left, right = shares_of_sides(on_right, most)
    return np.concatenate([order[~of_order][:left], order[of_order][:right]])


def shares_of_sides(on_right: Booleans, most: int) -> tuple[int, int]:
    """How many left images and how many right ones a sample takes: half each, where it can.

    By their numbers there may be a right image to 500 left ones, and a sample may have none: what
    is fitted to both sides would not know one of them. What one side lacks the other has.

    Args:
        on_right: Bool (N,), whether each image is on the right side.
        most: Images wanted at most; of two sides one of either at least.
    """
    rights = int(on_right.sum())
    lefts = len(on_right) - rights
    right = min(rights, max(1, most // 2, most - lefts))
    return min(lefts, max(1, most - right)), right
