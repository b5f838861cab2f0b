"""A Twinlens server to measure, and a load generator beside it, each a process of its own."""

import contextlib
import json
import math
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from benchmarks.processes import Family

MODEL = "photos"
"""What a measured server answers with, whatever its store's default is."""

_START_SECONDS = 120.0
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Whatever proxy the environment names, it does not lead to this machine itself."""


@dataclass(frozen=True)
class Service:
    """A server that is ready.

    Attributes:
        port: Where it listens.
        processes: What it runs in.
        start_seconds: What it took to become ready.
    """

    port: int
    processes: Family
    start_seconds: float


@contextlib.contextmanager
def server(**settings: str) -> Iterator[Service]:
    """`python -m app` until the block ends; its default model is `MODEL` unless another is given.

    Args:
        settings: Of the service, by their names without `TWINLENS_`.
    """
    port = free_port()
    chosen = {"port": str(port), "log_level": "info", "default_model": MODEL, **settings}
    environment = {f"TWINLENS_{name.upper()}": value for name, value in chosen.items()}
    started = time.monotonic()
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            [sys.executable, "-m", "app"], env={**os.environ, **environment}, stderr=log
        ) as process,
    ):
        family = Family(process.pid)
        try:
            if not _is_ready(port, process):
                sys.exit(f"error: the server did not become ready; it says\n{end_of(log)}")
            yield Service(port, family, time.monotonic() - started)
        finally:
            family.thaw()
            process.terminate()


def _is_ready(port: int, process: subprocess.Popen[bytes]) -> bool:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError),
            DIRECTLY.open(f"http://127.0.0.1:{port}/readyz", timeout=5),
        ):
            return True
        time.sleep(0.1)
    return False


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def end_of(log: IO[bytes]) -> str:
    """The last lines of a file that is open for reading, 2,000 characters of them."""
    log.seek(0)
    return log.read().decode(errors="replace")[-2000:]


def load(port: int, seconds: float, *options: str) -> dict[str, Any]:
    """What `benchmarks.load` found.

    Args:
        port: Where to send requests.
        seconds: How long.
        options: As its command line takes them.
    """
    command = [sys.executable, "-m", "benchmarks.load", str(port), str(seconds), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def medians(results: Sequence[dict[str, Any]], figures: Sequence[str]) -> dict[str, Any]:
    """Of each figure of several results of `load`; failures and overdue requests are added up.

    Args:
        results: At least one.
        figures: Their names. One that is None, as a latency where nothing was answered, counts as
            longer than any.

    Returns:
        None where the median is such a one.
    """
    found: dict[str, Any] = {}
    for name in figures:
        values = (result[name] for result in results)
        middle = statistics.median(math.inf if value is None else value for value in values)
        found[name] = middle if math.isfinite(middle) else None
    return {
        **found,
        "failures": sum(sum(result["failures"].values()) for result in results),
        "overdue": sum(result["overdue"] for result in results),
    }


def shown(figure: float | None, digits: int = 0) -> str:
    """A figure of `medians` for people."""
    return "∞" if figure is None else f"{figure:.{digits}f}"
