"""What images must have in common to share a batch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from app.inference.engines.base import Engine, Features, UInt8Batch
from app.inference.rows import Rows
from model_store.network import Side
from model_store.typicality import Statistics


class Users:
    """Counts who uses an engine, and says when it may be closed. For any thread.

    Requests are not all: one that ends early leaves its image on the device or to others who want
    it, and a thread that was given up may be at a call that has not ended.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._count = 0
        self._retired = False

    def enter(self) -> None:
        """One more."""
        with self._lock:
            self._count += 1

    def leave(self) -> bool:
        """One fewer.

        Returns:
            Whether the engine is to be closed now: it is retired, and this was the last.
        """
        with self._lock:
            self._count -= 1
            return self._retired and not self._count

    def retire(self) -> bool:
        """The engine is to be closed as soon as nobody uses it.

        Returns:
            Whether that is now.
        """
        with self._lock:
            self._retired = True
            return not self._count


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
        users: Who uses the engine, on either side.
    """

    model: str
    engine: Engine
    side: Side
    dimension: int
    look: Callable[[UInt8Batch], Statistics | None]
    finish: Callable[[Features, Statistics | None], Rows]
    users: Users = field(default_factory=Users)
