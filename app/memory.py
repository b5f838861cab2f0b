"""What a process keeps of memory, and leaves of cores, for what it is there for."""

from threadpoolctl import threadpool_limits

from model_store.allocator import Option, set_allocator

_KEPT_BYTES = 128 << 20


def keep_freed_memory() -> bool:
    """Keeps large freed blocks for the next request instead of giving them back to the system.

    A large photo is tens of megabytes once decoded, and ten thousand candidates are as many. To
    take them anew from the system each time, zeroed page by page, costs a sixth of the time of
    `/compare/many` with so many.

    Returns:
        Whether it was done: only on Linux with glibc.
    """
    return set_allocator({Option.MMAP_THRESHOLD: _KEPT_BYTES, Option.TRIM_THRESHOLD: _KEPT_BYTES})


def spare_cores_and_memory() -> None:
    """What a process that serves or computes does first."""
    # NumPy's own threads spin for 30 ms after each small product, on cores that the network
    # wants: with many requests in flight that took a third of the throughput.
    threadpool_limits(1, user_api="blas")
    keep_freed_memory()
