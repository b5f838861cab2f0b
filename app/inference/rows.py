"""What is known of an image once it has been through a network."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.inference.engines.base import Embeddings

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Row:
    """One image.

    Attributes:
        embedding: float32 (dimension,).
        typicality: How typical it is of the model's own kind of images, in (0, 1]; None where the
            model cannot tell.
    """

    embedding: npt.NDArray[np.float32]
    typicality: float | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Several images, in order.

    Attributes:
        embeddings: float32 (N, dimension).
        typicality: float64 (N,), as `Row`; None where the model cannot tell.
    """

    embeddings: Embeddings
    typicality: Floats | None = None

    def copy_of(self, index: int) -> Row:
        """One of them, which owns its memory."""
        typicality = None if self.typicality is None else float(self.typicality[index])
        return Row(self.embeddings[index].copy(), typicality)
