"""How many CPUs this process may use: the container's, not the host's."""

import math
import os
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def available_cpus() -> int:
    """CPUs this process may run on at once: the affinity mask, or the cgroup's quota if less.

    Returns:
        At least 1; a fractional quota is rounded up.
    """
    cpus = _affinity()
    quota = cgroup_quota()
    return max(1, cpus if quota is None else min(cpus, math.ceil(quota)))


def cgroup_quota(root: Path = _ROOT, membership: Path = _MEMBERSHIP) -> float | None:
    """CPUs that the process's cgroup and those above it allow, or None where there is no limit.

    Args:
        root: Where the cgroup file system is mounted.
        membership: The file that says which cgroup the process is in.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    limits: list[float] = []
    for line in ["0::/", "0:cpu:/", *lines]:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            limits += _limits(root, path, _version_2)
        elif "cpu" in controllers.split(","):
            for mount in ("cpu", "cpu,cpuacct"):
                limits += _limits(root / mount, path, _version_1)
    return min(limits, default=None)


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _limits(mount: Path, path: str, read: "_Reader") -> list[float]:
    """The limits of a cgroup and of each one above it."""
    folder = mount / path.lstrip("/")
    found = []
    while folder.is_relative_to(mount):
        limit = read(folder)
        if limit is not None:
            found.append(limit)
        if folder == mount:
            break
        folder = folder.parent
    return found


class _Reader:
    """Reads one cgroup's limit from its files."""

    def __init__(self, *files: str) -> None:
        self._files = files

    def __call__(self, folder: Path) -> float | None:
        try:
            words = " ".join((folder / file).read_text() for file in self._files).split()
            quota, period = float(words[0]), float(words[1])
        except (OSError, ValueError, IndexError):
            return None  # No such file, or "max": no limit here.
        return quota / period if quota > 0 and period > 0 else None


_version_2 = _Reader("cpu.max")
_version_1 = _Reader("cpu.cfs_quota_us", "cpu.cfs_period_us")
