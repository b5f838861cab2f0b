"""How many CPUs this process may use: the container's, not the host's."""

import math
import os
from pathlib import Path

from model_store.cgroups import MEMBERSHIP, ROOT, least

_FILES = {1: ("cpu.cfs_quota_us", "cpu.cfs_period_us"), 2: ("cpu.max",)}


def available_cpus() -> int:
    """CPUs this process may run on at once: the affinity mask, or the cgroup's quota if less.

    Returns:
        At least 1; a fractional quota is rounded up.
    """
    cpus = _affinity()
    quota = cgroup_quota()
    return max(1, cpus if quota is None else min(cpus, math.ceil(quota)))


def cgroup_quota(root: Path = ROOT, membership: Path = MEMBERSHIP) -> float | None:
    """CPUs that the process's cgroup and those above it allow, or None where there is no limit.

    Args:
        root: As `least` takes it.
        membership: Likewise.
    """
    return least(_quota, ("cpu", "cpu,cpuacct"), root, membership)


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota(version: int, folder: Path) -> float | None:
    try:
        words = " ".join((folder / file).read_text() for file in _FILES[version]).split()
        quota, period = float(words[0]), float(words[1])
    except (OSError, ValueError, IndexError):
        return None  # No such file, or "max": no limit here.
    return quota / period if quota > 0 and period > 0 else None
