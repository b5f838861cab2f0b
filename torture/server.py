"""A service in a process of its own, and what the system says of that process."""

import contextlib
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.service import DIRECTLY, free_port, is_ready, start, wait_until_ready

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Usage:
    """What a process holds.

    Attributes:
        memory: Resident, in MiB.
        files: Open file descriptors.
        threads: Threads.
    """

    memory: float
    files: int
    threads: int


@dataclass
class Server:
    """A service that is ready.

    Attributes:
        port: Where it listens.
        process: Its process.
        log: Where its log goes.
    """

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def usage(self) -> Usage:
        """What it holds now."""
        folder = Path(f"/proc/{self.process.pid}")
        pages = int((folder / "statm").read_text().split()[1])
        return Usage(
            pages * os.sysconf("SC_PAGE_SIZE") / _MIB,
            len(list((folder / "fd").iterdir())),
            len(list((folder / "task").iterdir())),
        )

    def settled(self) -> Usage:
        """What it holds once nothing of a load is left, or after ten seconds."""
        best = self.usage()
        for _ in range(20):
            time.sleep(0.5)
            now = self.usage()
            if now.files == best.files and now.threads == best.threads:
                return now
            best = now
        return best

    def counted(self, counter: str, label: str) -> Counter[str]:
        """One of the service's own counters, by one of its labels."""
        with DIRECTLY.open(f"http://127.0.0.1:{self.port}/metrics") as answer:
            text = answer.read().decode()
        counts: Counter[str] = Counter()
        pattern = rf'^{counter}_total{{.*\b{label}="([^"]*)".*}} ([0-9.e+]+)$'
        for found in re.finditer(pattern, text, re.MULTILINE):
            counts[found[1]] += int(float(found[2]))
        return counts

    def alive(self) -> bool:
        """Whether it still runs and is ready."""
        return self.process.poll() is None and is_ready(self.port)


@contextlib.contextmanager
def serving(folder: Path, **settings: object) -> Iterator[Server]:
    """A service on a free port, its log in that folder.

    Raises:
        RuntimeError: It is not ready in time; the message has the end of its log.
    """
    port = free_port()
    chosen = {"device": "cpu", "store_poll_seconds": 0, "log_level": "warning", **settings}
    path = folder / f"server-{port}.log"
    with path.open("w+b") as log:
        process = start(port, log, **chosen)
        try:
            wait_until_ready(port, process, log)
            yield Server(port, process, path)
        finally:
            process.kill()
            process.wait()
