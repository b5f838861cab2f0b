"""A service of several processes, as a user starts it."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.app.processes.test_exposition import values
from tests.app.serving import program, wait_until

PROCESSES = 2


def environment(store: Path, scratch: Path, **more: str) -> dict[str, str]:
    """What a service of two processes is set to."""
    return {
        **os.environ,
        "TWINLENS_MODEL_STORE": str(store),
        "TWINLENS_PROCESSES": str(PROCESSES),
        "TWINLENS_PORT": "0",
        "TWINLENS_DEVICE": "cpu",
        "TWINLENS_ENGINE": "torch",
        "TMPDIR": str(scratch),
        **more,
    }


@dataclass
class Several:
    """A service that is up.

    Attributes:
        popen: The parent.
        scratch: Where it makes its folder.
        lines: Of its log, from all of its processes.
    """

    popen: subprocess.Popen[bytes]
    scratch: Path
    lines: list[dict[str, object]]

    @property
    def url(self) -> str:
        return next(
            message.split()[-1] for message in self.messages if "running on http" in message
        )

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def messages(self) -> list[str]:
        return [str(line["message"]) for line in self.lines]

    def count(self, words: str) -> int:
        """Lines of the log with these words."""
        return sum(words in message for message in self.messages)

    def pids(self, name: str) -> list[int]:
        """The process ids of a child, in the order of its starts."""
        return [
            int(str(line["pid"])) for line in self.lines if line["message"] == f"{name} started"
        ]

    def children(self) -> list[int]:
        """The process ids of all children ever."""
        return [int(str(line["pid"])) for line in self.lines if "pid" in line]

    def metrics(self) -> dict[str, float]:
        """The merged metrics, those of one name added up."""
        found: dict[str, float] = {}
        for (name, _), value in values(httpx.get(f"{self.url}/metrics", timeout=30).text).items():
            found[name] = found.get(name, 0.0) + value
        return found

    def wait_until_complete(self) -> None:
        """Returns once all front-ends listen, answer and are ready."""

        def complete() -> bool:
            metrics = self.metrics()
            whole = metrics["twinlens_processes_answering"] == PROCESSES
            return whole and metrics["twinlens_ready"] == 1 and all(map(listens, range(PROCESSES)))

        def listens(number: int) -> bool:
            starts = len(self.pids(f"front-end {number}"))
            return self.count(f"front-end {number} running on") == starts

        wait_until(complete, 60)


@contextlib.contextmanager
def several(store: Path, scratch: Path, **more: str) -> Iterator[Several]:
    """A service of two front-ends, all of them ready."""
    with program(environment(store, scratch, **more)) as (popen, lines):
        service = Several(popen, scratch, lines)
        wait_until(lambda: popen.poll() is not None or service.count("running on http") >= 1, 60)
        service.wait_until_complete()
        yield service
