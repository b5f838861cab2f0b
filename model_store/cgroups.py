"""The control groups that a process is in, and what those above them allow too (cgroups(7))."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

Limit = TypeVar("Limit", int, float)

ROOT = Path("/sys/fs/cgroup")
"""Where they are mounted."""

MEMBERSHIP = Path("/proc/self/cgroup")
"""The file that says which ones this process is in."""


def least(
    read: Callable[[int, Path], Limit | None],
    mounts: Sequence[str],
    root: Path = ROOT,
    membership: Path = MEMBERSHIP,
) -> Limit | None:
    """The least limit of the process's group and of those above it; None where there is none.

    A container may see its own group as the root, whatever it is told that it is in.

    Args:
        read: Reads the limit of a group from its version, 1 or 2, and its folder; None for none.
        mounts: A controller's, and by what other names version 1 may have it mounted.
        root: As `ROOT`.
        membership: As `MEMBERSHIP`.
    """
    found = [read(version, folder) for version, folder in _folders(mounts, root, membership)]
    return min((limit for limit in found if limit is not None), default=None)


def _folders(mounts: Sequence[str], root: Path, membership: Path) -> Iterator[tuple[int, Path]]:
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    for line in ["0::/", f"0:{mounts[0]}:/", *lines]:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from ((2, folder) for folder in _upwards(root, path))
        elif mounts[0] in controllers.split(","):
            for mount in mounts:
                yield from ((1, folder) for folder in _upwards(root / mount, path))


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    folder = mount / path.lstrip("/")
    while folder.is_relative_to(mount):
        yield folder
        if folder == mount:
            break
        folder = folder.parent
