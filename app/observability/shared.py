"""What costs much and is asked for by many, such as an exposition of the metrics."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Something that is made once for all who ask for it while it is being made.

    Used on one event loop.

    Args:
        make: Makes it. It is never begun again before it has ended.
    """

    def __init__(self, make: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._make = make
        self._making: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """What is being made, or is from now on; what that raises is raised."""
        if self._making is None:
            self._making = asyncio.create_task(self._make())
            self._making.add_done_callback(self._made)
        # One who leaves does not end it for the others.
        return await asyncio.shield(self._making)

    def _made(self, _: asyncio.Task[T]) -> None:
        self._making = None
