"""What all processes of a service take, those among them that tell no metrics: the parent's family.

As Linux has it in `/proc`; several processes are for Linux only.
"""

import os
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Usage:
    """What a process and its children take together.

    Attributes:
        cpu_seconds: User and system time, also of children that have ended.
        resident_bytes: Resident memory; what several of them share counts for each.
        virtual_bytes: Virtual memory.
    """

    cpu_seconds: float
    resident_bytes: int
    virtual_bytes: int


@dataclass(frozen=True)
class _Process:
    """One process: its parent, ticks of its own and of children that have ended, and memory."""

    parent: int
    ticks: int
    ended_ticks: int
    resident_pages: int
    virtual_bytes: int


def usage_of_family(parent: int) -> Usage:
    """What a process and its children take.

    Args:
        parent: Its process id.

    Raises:
        OSError: It has ended, or this system has no `/proc`.
    """
    while True:
        before = _read(parent)
        children = _children(parent)
        own = _read(parent)
        # Else a child has ended meanwhile, which would count twice, or not at all.
        if own.ended_ticks == before.ended_ticks:
            break
    family = [own, *children]
    return Usage(
        cpu_seconds=(own.ended_ticks + sum(each.ticks for each in family))
        / os.sysconf("SC_CLK_TCK"),
        resident_bytes=sum(each.resident_pages for each in family) * os.sysconf("SC_PAGE_SIZE"),
        virtual_bytes=sum(each.virtual_bytes for each in family),
    )


def _children(parent: int) -> list[_Process]:
    found = []
    for folder in _PROC.iterdir():
        if folder.name.isdecimal():
            try:
                process = _read(int(folder.name))
            except OSError:
                continue  # It has ended since the folder was listed.
            if process.parent == parent:
                found.append(process)
    return found


def _read(process: int) -> _Process:
    # Its name comes first, in brackets, and may have brackets and spaces in it.
    words = (_PROC / str(process) / "stat").read_bytes().rpartition(b")")[2].split()
    user, system, ended_user, ended_system = map(int, words[11:15])
    return _Process(
        parent=int(words[1]),
        ticks=user + system,
        ended_ticks=ended_user + ended_system,
        virtual_bytes=int(words[20]),
        resident_pages=int(words[21]),
    )
