"""How long the system lets a thread that computes go on before another one has its core."""

import contextlib
import os
import sys
from collections.abc import Iterator


def compute_in_long_slices() -> None:
    """Marks the calling thread, and those it starts from now on, as one that computes.

    Decoders and networks that wake up then do not interrupt each other, which empties a core's
    caches of what the other one had there; the event loop, which is not marked, interrupts them
    all as before. Linux has a policy for this, `SCHED_BATCH`, that any process may choose (`man 7
    sched`). Nothing changes elsewhere, where the system refuses it, or where whoever started the
    process chose another policy.
    """
    if sys.platform == "linux" and os.sched_getscheduler(0) == os.SCHED_OTHER:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


@contextlib.contextmanager
def starting_threads_that_compute() -> Iterator[None]:
    """Marks the threads that the calling thread starts in the block, and not itself."""
    if sys.platform != "linux":
        yield
        return
    before = os.sched_getscheduler(0)
    compute_in_long_slices()
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != before:
            os.sched_setscheduler(0, before, os.sched_param(0))
