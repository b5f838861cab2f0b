"""What images must have in common to share a batch."""

from collections.abc import Callable
from dataclasses import dataclass

from app.inference.engines.base import Engine, Features, UInt8Batch
from app.inference.rows import Rows
from model_store.network import Side
from model_store.typicality import Statistics


@dataclass(frozen=True, eq=False)
class Lane:
    """One engine and one side.

    Attributes:
        model: For metrics and messages.
        engine: What embeds them.
        side: Which side they are on.
        dimension: Values that an embedding must have.
        look: Takes of images, before they are embedded, what `finish` wants to know of them.
        finish: From features, and what `look` took, to what is known of each image, row by row.
    """

    model: str
    engine: Engine
    side: Side
    dimension: int
    look: Callable[[UInt8Batch], Statistics | None]
    finish: Callable[[Features, Statistics | None], Rows]
