"""What shows in its features that an image is of another kind."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from model_store.vectors import lengths, squared_lengths, to_unit_length

Floats = npt.NDArray[np.float64]


class Measures(Protocol):
    """Two numbers of an image, each the higher the less it is of the kind."""

    def of(self, features: npt.NDArray[np.float32]) -> Floats:
        """Features (N, dimension) → float64 (N, 2)."""
        ...


@dataclass(frozen=True)
class Subspace:
    """Where vectors of one kind lie: around a mean, along a few directions.

    Attributes:
        mean: float32 (dimension,).
        directions: float32 (k, dimension), the principal components: orthonormal, but for the
            rounding of a file they were read from.
    """

    mean: npt.NDArray[np.float32]
    directions: npt.NDArray[np.float32]

    @cached_property
    def basis(self) -> npt.NDArray[np.float32]:
        """(k, dimension): the directions, orthonormal to float32's rounding.

        Rounded to float16 they are no longer orthonormal enough to subtract squares.
        """
        return np.ascontiguousarray(np.linalg.qr(self.directions.T)[0].T)

    def residual(self, rows: npt.NDArray[np.float32]) -> Floats:
        """How far vectors lie from the subspace.

        The "distance from feature space" of Moghaddam, Pentland (1995), equation 10.

        Args:
            rows: float32 (N, dimension).

        Returns:
            float64 (N,), ≥ 0.
        """
        centred = rows - self.mean
        within = centred @ self.basis.T
        squares = squared_lengths(centred) - squared_lengths(within)
        return np.asarray(np.sqrt(np.maximum(squares, 0), dtype=np.float64))


@dataclass(frozen=True)
class Residuals:
    """How far features lie from where those of the kind do.

    Attributes:
        raw: Where features lie.
        unit: Where features scaled to unit length lie.
    """

    raw: Subspace
    unit: Subspace

    def of(self, features: npt.NDArray[np.float32]) -> Floats:
        """The residual of features as they are, and scaled to unit length."""
        found = np.empty((len(features), 2))
        found[:, 0] = self.raw.residual(features)
        found[:, 1] = self.unit.residual(to_unit_length(features))
        return found


@dataclass(frozen=True)
class ClassCentres:
    """Whether features say any class: for a network whose features of anything lie in one subspace.

    One that ends in a discriminant analysis keeps only what tells its classes apart. Whatever it is
    shown lies in the few directions of that, and no residual is left; but what is of no class has
    features that are short, and that point to none (as the logits of what a classifier does not
    know are small: Hendrycks, Gimpel 2017, arXiv 1610.02136).

    Attributes:
        directions: float32 (classes, dimension), of unit length: the mean direction of each class.
    """

    directions: npt.NDArray[np.float32]

    def of(self, features: npt.NDArray[np.float32]) -> Floats:
        """How short features are, and the angle to the nearest class.

        The one is minus the logarithm of their length; the other is in radians.
        """
        found = np.empty((len(features), 2))
        found[:, 0] = -np.log(lengths(features))
        nearest = (to_unit_length(features) @ self.directions.T).max(axis=1)
        found[:, 1] = np.arccos(np.clip(nearest, -1, 1))
        return found
