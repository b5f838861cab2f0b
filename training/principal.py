"""Principal directions of rows, by the smaller of their two products.

An SVD of the rows themselves gives the same and takes many times longer.
"""

import numpy as np
import numpy.typing as npt

# Of the largest sum of squares; below it there is rounding alone.
_NEGLIGIBLE = 1e-10

Float64s = npt.NDArray[np.float64]


def principal_directions(rows: Float64s) -> tuple[Float64s, Float64s]:
    """The directions along which rows lie, those of the most squares last.

    Args:
        rows: (N, D); centred, if the directions are to be those of variance.

    Returns:
        (R,), the sums of the rows' squares along each direction, ascending and above 0; and
        (R, D), the directions, orthonormal. R is the rows' rank.
    """
    if len(rows) < rows.shape[1]:
        squares, left = np.linalg.eigh(rows @ rows.T)
        kept = _above_rounding(squares)
        directions = (left[:, kept].T @ rows) / np.sqrt(squares[kept])[:, None]
    else:
        squares, right = np.linalg.eigh(rows.T @ rows)
        kept = _above_rounding(squares)
        directions = right[:, kept].T
    return squares[kept], directions


def _above_rounding(squares: Float64s) -> npt.NDArray[np.bool_]:
    return squares > max(0.0, float(squares[-1])) * _NEGLIGIBLE
