"""What the process does with memory that it has no more use for."""

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
