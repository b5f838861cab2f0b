"""Work that would hold up the event loop."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

T = TypeVar("T")

# Base64 of so many bytes is decoded, or a digest of them made, in some milliseconds. To wait for a
# thread takes a small request longer.
_INLINE_BYTES = 1 << 20


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


async def for_each(work: Callable[[int], T], sizes: Sequence[int]) -> list[T]:
    """Does work on each of several things: here if it is little, and else in threads.

    Args:
        work: What is done with each, by its place. It should take no longer than to decode as many
            bytes of base64.
        sizes: How many bytes each of them has.

    Returns:
        What came of each, in order; what it raises is raised, and the rest is not done.
    """
    if sum(sizes) <= _INLINE_BYTES:
        return _all_of(work, range(len(sizes)))
    done: list[T] = []
    start = size = 0
    for end, more in enumerate(sizes, 1):
        size += more
        # Not all at once: others want threads, too, and who is cancelled is to go on soon.
        if size >= _INLINE_BYTES or end == len(sizes):
            done += await in_thread(partial(_all_of, work, range(start, end)))
            start, size = end, 0
    return done


def _all_of(work: Callable[[int], T], places: range) -> list[T]:
    return [work(place) for place in places]
