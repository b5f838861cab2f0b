"""Fair samples of a folder, where all of it would take too long or too much room."""

import numpy as np

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
    """A folder of at most `most` images, drawn as `sampled_rows` does."""
    kept = set(sampled_rows(folder.labels, most, seed=seed).tolist())
    if len(kept) == len(folder.items):
        return folder
    return folder.without({item.key for row, item in enumerate(folder.items) if row not in kept})
