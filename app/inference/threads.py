"""Work that would hold up the event loop."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Does work in a thread. Who is cancelled meanwhile goes on only once the work has ended.

    A thread cannot be broken off, and until it ends it holds what it works on: memory that is
    accounted for as long as its request lasts.

    Args:
        work: What is done; it should take well under a second.

    Returns:
        What came of it; what it raises is raised.
    """
    working = asyncio.ensure_future(asyncio.to_thread(work))
    cancelled: asyncio.CancelledError | None = None
    try:
        while not working.done():
            try:
                await asyncio.wait([working])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is None:
            return working.result()
        if not working.cancelled():
            working.exception()  # Else asyncio complains that nobody has asked for it.
        raise cancelled
    finally:
        # What is raised leads here by its trace. If something here led back to it, what is worked
        # on would stay until the garbage collector comes upon it.
        del working, cancelled
