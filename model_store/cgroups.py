"""The control groups that a process is in, and what those above them allow too (cgroups(7))."""

from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
"""Where they are mounted."""

MEMBERSHIP = Path("/proc/self/cgroup")
"""The file that says which ones this process is in."""


def folders(
    mounts: Sequence[str], root: Path = ROOT, membership: Path = MEMBERSHIP
) -> Iterator[tuple[int, Path]]:
    """The folders of the process's group and of each one above it, with their version, 1 or 2.

    A container may see its own group as the root, whatever it is told that it is in.

    Args:
        mounts: A controller's, and by what other names version 1 may have it mounted.
        root: As `ROOT`.
        membership: As `MEMBERSHIP`.
    """
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
