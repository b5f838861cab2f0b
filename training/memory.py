"""How much memory there is, and how the allocator is told to keep what it has."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from model_store.allocator import Option, set_allocator
from model_store.cgroups import MEMBERSHIP, ROOT, least
from model_store.shortage import out_of_memory
from training.errors import TrainingError

MEMINFO = Path("/proc/meminfo")
"""The file that says what the machine has free; on Linux only."""

_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}
"""Of a cgroup, by its version: its limit, what it has, and what the latter's cache is called."""


def available_bytes() -> int:
    """Bytes of memory that this process could still take without swapping.

    The smallest of what the machine has free and what limits of a container or a job leave.
    """
    free = [value for value in (machine_left(), cgroup_left()) if value is not None]
    return max(0, min(free)) if free else 2**31


LESS_AT_ONCE = (
    ", or have less in it at once: --set batch=… with fewer images, and batches_per_step=… with "
    "more if a step is to have as many, or a smaller data.memory_share=…"
)
"""What training can do with less memory."""


@contextmanager
def shortage_told(advice: str = "") -> Iterator[None]:
    """Within it, a want of memory is an error that says what to do.

    Args:
        advice: What there is to do beside making room, to follow that.

    Raises:
        TrainingError: There was not enough, on this machine or on the device.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise TrainingError(f"there is not enough memory; free some{advice}") from error


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


def machine_left(meminfo: Path = MEMINFO) -> int | None:
    """Bytes that the machine has free, or half of all that it has where it does not say.

    Args:
        meminfo: As `MEMINFO`.

    Returns:
        None where neither can be told, as on Windows.
    """
    with suppress(OSError, ValueError, IndexError):
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (OSError, ValueError, AttributeError):
        return None


def cgroup_left(root: Path = ROOT, membership: Path = MEMBERSHIP) -> int | None:
    """Bytes that the limits of the process's cgroup and those above it leave; None without any.

    Args:
        root: As `least` takes it.
        membership: Likewise.
    """
    return least(_left, ("memory",), root, membership)


def _left(version: int, folder: Path) -> int | None:
    """What one cgroup leaves; pages of files that are long unused can be had back."""
    most, used, cache = _FILES[version]
    try:
        limit, taken = int((folder / most).read_text()), int((folder / used).read_text())
        unused = 0
        for line in (folder / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == cache:
                unused = int(value)
    except (OSError, ValueError):
        return None  # No such file, or "max": no limit here.
    return limit - taken + unused
