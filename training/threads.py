"""Threads for work on many things, one after another."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def threads(count: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """So many of them while it is entered; what they have not begun by its end is dropped.

    `ThreadPoolExecutor` by itself does all that was ever asked of it first, be it minutes after
    Ctrl-C.

    Args:
        count: How many.
        name: What theirs begin with.
    """
    pool = ThreadPoolExecutor(count, thread_name_prefix=name)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
