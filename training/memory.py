"""How much memory there is, and how the allocator is told to keep what it has."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_store.allocator import Option, set_allocator
from model_store.shortage import out_of_memory
from training.errors import TrainingError

_CGROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int:
    """Bytes of memory that this process could still take without swapping.

    The smaller of what the machine has free and what the container's limit leaves.
    """
    free = [value for value in (_machine(), _container()) if value is not None]
    return max(0, min(free)) if free else 2**31


@contextmanager
def shortage_told() -> Iterator[None]:
    """Within it, a want of memory is an error that says what to do.

    Raises:
        TrainingError: There was not enough, on this machine or on the device.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise TrainingError(
            "there is not enough memory; free some or, of fit and cross-validate, have less in it "
            "at once: --set batch=… with fewer images, and batches_per_step=… with more if a step "
            "is to have as many, or a smaller data.memory_share=…; an unfinished run then begins "
            "anew with --restart"
        ) from error


def keep_freed_memory() -> bool:
    """Tells glibc to keep large freed blocks for the next step instead of giving them back.

    A training step on the CPU frees and takes again the same few hundred megabytes. By default
    glibc returns them to the system each time, and the page faults of taking them again cost more
    than the arithmetic of normalisation layers.

    Returns:
        Whether it was done: only on Linux with glibc.
    """
    return set_allocator(
        {Option.MMAP_MAX: 0, Option.TRIM_THRESHOLD: 2**31 - 1, Option.TOP_PAD: 2**28}
    )


def _machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (OSError, ValueError, AttributeError):
        return None


def _container() -> int | None:
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
        inactive = 0
        for line in (_CGROUP / "memory.stat").read_text().splitlines():
            if line.startswith("inactive_file "):
                inactive = int(line.split()[1])
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) - used + inactive
