"""What images must have in common to share a batch."""

from collections.abc import Callable
from dataclasses import dataclass

from app.inference.engines.base import Engine, Features, UInt8Batch
from app.inference.rows import Rows
from model_store.network import Side


@dataclass(frozen=True, eq=False)
class Lane:
    """One engine and one side.

    Attributes:
        model: For metrics and messages.
        engine: What embeds them.
        side: Which side they are on.
        dimension: Values that an embedding must have.
        finish: From features, and the images they are of, to what is known of each, row by row.
    """

    model: str
    engine: Engine
    side: Side
    dimension: int
    finish: Callable[[Features, UInt8Batch], Rows]
