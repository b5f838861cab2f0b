"""A server's processes: stopped and continued together, and what they use."""

import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Places in /proc/PID/stat after the name, which may hold blanks: proc(5).
_PARENT, _USER, _SYSTEM, _RESIDENT = 1, 11, 12, 21


@dataclass(frozen=True)
class Family:
    """A process and all that descend from it.

    Process groups would not tell: some servers give their workers groups of their own.

    Attributes:
        root: The first process.
    """

    root: int

    def members(self) -> list[int]:
        """The processes there are now, parents first."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                children.setdefault(_stat(int(entry.name))[_PARENT], []).append(int(entry.name))
        found = [self.root]
        for process in found:
            found += children.get(process, [])
        return found

    @property
    def runs(self) -> bool:
        """Whether the first process is there and has not ended."""
        try:
            fields = Path(f"/proc/{self.root}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return False
        return fields[0] != "Z"

    def handles(self) -> list[int]:
        """File descriptors that stay with the processes, whoever gets their numbers later."""
        found = []
        for process in self.members():
            with contextlib.suppress(ProcessLookupError):
                found.append(os.pidfd_open(process))
        return found

    def freeze(self) -> None:
        """Stops them, so that nothing of them disturbs others."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets them go on."""
        self._signal(signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """What they have used so far."""
        return sum(stat[_USER] + stat[_SYSTEM] for stat in self._stats()) / _TICKS

    def resident_bytes(self) -> int:
        """Memory they hold now; what several share counts for each."""
        return sum(stat[_RESIDENT] for stat in self._stats()) * _PAGE

    def _signal(self, number: signal.Signals) -> None:
        for process in self.members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def _stats(self) -> list[list[int]]:
        found = []
        for process in self.members():
            with contextlib.suppress(OSError):
                found.append(_stat(process))
        return found


def exit_on_signals() -> None:
    """Has SIGTERM, and SIGHUP of a terminal that closes, end this program by `sys.exit`.

    Its servers would outlive one that is only ended, and those that are frozen for ever. What is
    ignored, as `nohup` has it, stays ignored.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit)


def _exit(number: int, frame: FrameType | None) -> None:
    del frame
    sys.exit(f"error: ended by {signal.Signals(number).name}")


def _stat(process: int) -> list[int]:
    """The fields of /proc/PID/stat after the name, the state as 0."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return [0, *map(int, fields[1:])]
