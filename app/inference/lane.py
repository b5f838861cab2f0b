"""What images must have in common to share a batch."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.inference.engines.base import Embeddings, Engine, Features
from model_store.network import Side

Row = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Lane:
    """One engine and one side.

    Attributes:
        model: For metrics and messages.
        engine: What embeds them.
        side: Which side they are on.
        dimension: Values that an embedding must have.
        finish: From features to embeddings, row by row.
    """

    model: str
    engine: Engine
    side: Side
    dimension: int
    finish: Callable[[Features], Embeddings]
