"""What pixels look like, whatever a network makes of them.

Networks answer for anything. What one that was trained from nothing makes of a blank page or of a
photograph often lies where its characters do (Nalisnick et al. 2019, arXiv 1810.09136, found the
like of deep generative models); but brightness, contrast, edges and colours are another kind's.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.preprocessing import UInt8Image
from model_store.vectors import squared_lengths

Floats = npt.NDArray[np.float64]
Statistics = npt.NDArray[np.float32]

COUNT = 12
"""Numbers that `pixel_statistics` gives of an image."""

_ACROSS = 28
"""Of so many pixels across the shorter side, values are taken: more tell nothing else, and what has
to come from memory is what it costs."""

_QUANTILES = (0.02, 0.25, 0.5, 0.75, 0.98)
_FAR = 4
_LEAST = 0.004
"""Of the range of values, about one step of a byte: what differs by less counts as equal."""

LOGARITHMS = (1, 7, 8, 9, 10)
"""Those of them that are logarithms; the others are shares of the range of values."""


def pixel_statistics(images: UInt8Image) -> Statistics:
    """What images look like: brightness, contrast, edges and colours.

    Args:
        images: uint8 (N, height, width, channels), prepared for a network.

    Returns:
        float32 (N, 12). Of the brightness, which is the green channel, as shares of the range: the
        mean, the logarithm of the standard deviation and five quantiles; logarithms of how far
        pixels differ that are neighbours in a row, and that are a twenty-eighth and a seventh of
        the shorter side apart; of the colours, the logarithm of how far red is from green, and by
        how much it is over blue.
    """
    # In few calls of NumPy: see `model_store.vectors`.
    count, height, width, channels = images.shape
    step = max(1, min(height, width) // _ACROSS)
    rows, columns = max(1, (height - 1) // step), max(1, (width - 1) // step)
    down, right = slice(0, rows * step, step), slice(0, columns * step, step)
    taken = images[:, down, right].astype(np.float32)
    green = min(1, channels - 1)
    grid = np.ascontiguousarray(taken[..., green])
    values = grid.reshape(count, -1)
    beside = min(1, width - 1)
    next_right = images[:, down, beside : beside + columns * step : step, green]

    found = np.zeros((count, COUNT), np.float32)
    found[:, 0] = _mean(values)
    squares = squared_lengths(values - found[:, :1]) / values.shape[1]
    found[:, 1] = np.sqrt(squares)
    ranks = [int(share * (values.shape[1] - 1)) for share in _QUANTILES]
    found[:, 2:7] = np.sort(values, axis=1)[:, ranks]
    found[:, 7] = _mean(np.abs(next_right - grid))
    for at, apart in ((8, 1), (9, _FAR)):
        if apart < rows:
            found[:, at] += _mean(np.abs(grid[:, apart:] - grid[:, :-apart]))
        if apart < columns:
            found[:, at] += _mean(np.abs(grid[:, :, apart:] - grid[:, :, :-apart]))
    if channels > 1:
        found[:, 10] = _mean(np.abs(taken[..., 0] - grid))
        found[:, 11] = _mean(taken[..., 0] - taken[..., -1])
    found /= 255
    found[:, LOGARITHMS] = np.log(found[:, LOGARITHMS] + np.float32(_LEAST))
    return found


@dataclass(frozen=True)
class Pixels:
    """What the pixels of one kind of images look like.

    Attributes:
        mean: float32 (12,), of their statistics.
        whitening: float32 (12, 12), upper triangular: what makes statistics less their mean vary
            alike in all directions.
    """

    mean: npt.NDArray[np.float32]
    whitening: npt.NDArray[np.float32]

    def distance(self, statistics: Statistics) -> Floats:
        """The logarithm of the Mahalanobis distance.

        Args:
            statistics: From `pixel_statistics`.

        Returns:
            float64 (N,).
        """
        away = (statistics - self.mean) @ self.whitening.T
        lengths = np.sqrt(np.einsum("ij,ij->i", away, away), dtype=np.float64)
        return np.asarray(np.log(np.maximum(lengths, _LEAST)))


def _mean(values: Statistics) -> Statistics:
    """(N, …) → (N,)."""
    flat = values.reshape(len(values), -1)
    return np.asarray(np.add.reduce(flat, axis=1) / flat.shape[1])
