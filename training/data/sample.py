"""Fair samples of a folder, where all of it would take too long or too much room."""

import numpy as np
import numpy.typing as npt

from training.data.folders import ImageFolder, Indices

_LEAST_IMAGES = 4


def sampled_rows(
    labels: Indices, most: int, *, seed: int, least: int = _LEAST_IMAGES, classes: int | None = None
) -> Indices:
    """Rows of at most `most` images: of many classes a few each rather than of few classes many.

    Args:
        labels: int64 (N,), the class of each image.
        most: Images wanted at most.
        seed: Of the draw.
        least: Images of a class that are wanted before another class is.
        classes: Classes wanted at most; all if not given.

    Returns:
        int64 (≤ most,), rising; all rows where they are no more than `most`.
    """
    generator = np.random.default_rng(seed)
    names, counts = np.unique(labels, return_counts=True)
    least = min(least, int(counts.max()))
    wanted = max(2, min(len(names) if classes is None else classes, most // least))
    if len(labels) <= most and (classes is None or len(names) <= classes):
        return np.arange(len(labels), dtype=np.int64)
    if wanted < len(names):
        names = generator.choice(names, wanted, replace=False)
    each = max(1, most // len(names))
    taken = []
    for name in names.tolist():
        rows = np.flatnonzero(labels == name)
        taken.append(generator.choice(rows, min(each, len(rows)), replace=False))
    return np.sort(np.concatenate(taken)).astype(np.int64)


def sampled_folder(folder: ImageFolder, most: int, *, seed: int) -> ImageFolder:
    """A folder of at most `most` images, drawn as `sampled_rows` does.

    Of two sides each gives its share of the same classes: a class keeps an image of either, without
    which it has no pair.
    """
    rows = sampled_rows(folder.labels, most, seed=seed)
    if folder.two_sided and len(rows) < len(folder.items):
        among = np.flatnonzero(np.isin(folder.labels, folder.labels[rows]))
        on_right = folder.on_right[among]
        sides = (among[~on_right], among[on_right])
        rows = np.concatenate(
            [
                side[sampled_rows(folder.labels[side], share, seed=seed, least=1)]
                for side, share in zip(sides, shares_of_sides(on_right, most), strict=True)
                if len(side)
            ]
        )
    kept = set(rows.tolist())
    if len(kept) == len(folder.items):
        return folder
    return folder.without({item.key for row, item in enumerate(folder.items) if row not in kept})


def first_of_sides(order: Indices, on_right: npt.NDArray[np.bool_], most: int) -> Indices:
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


def shares_of_sides(on_right: npt.NDArray[np.bool_], most: int) -> tuple[int, int]:
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
