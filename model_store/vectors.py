"""Lengths of vectors, in as few calls of NumPy as it takes.

Right after a large network has run nothing of a few small operations is in the processor's cache
any more, and a server pays for each of them.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

_LEAST_LENGTH = 1e-12
"""As `torch.nn.functional.normalize` has it: what a length counts as at least."""


def squared_lengths(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Rows (N, dimension) → (N,), of their type."""
    return np.asarray(np.einsum("ij,ij->i", rows, rows))


def lengths(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Rows (N, dimension) → (N,), of their type, above 0."""
    return np.asarray(np.maximum(np.sqrt(squared_lengths(rows)), _LEAST_LENGTH))


def to_unit_length(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Rows (N, dimension) of their type, scaled to unit length; those of zeros stay."""
    return np.asarray(rows / lengths(rows)[:, None])
