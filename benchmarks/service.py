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
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from benchmarks.processes import Family

MODEL = "photos"
"""What a measured server answers with, whatever its store's default is."""

_START_SECONDS = 180.0
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
    chosen = {"log_level": "info", "default_model": MODEL, **settings}
    began = time.monotonic()
    with tempfile.TemporaryFile() as log, start(port, log, **chosen) as process:
        family = Family(process.pid)
        try:
            try:
                wait_until_ready(port, process, log)
            except RuntimeError as error:
                sys.exit(f"error: {error}")
            yield Service(port, family, time.monotonic() - began)
        finally:
            family.thaw()
            process.terminate()


def start(port: int, log: IO[bytes], **settings: object) -> subprocess.Popen[bytes]:
    """`python -m app` as a process that the caller ends.

    Args:
        port: Where it will listen.
        log: Where its log goes, a file.
        settings: As for `server`.
    """
    chosen = {f"TWINLENS_{name.upper()}": str(value) for name, value in settings.items()}
    environment = {**os.environ, "TWINLENS_PORT": str(port), **chosen}
    return subprocess.Popen([sys.executable, "-m", "app"], env=environment, stderr=log)


def wait_until_ready(port: int, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    """Waits until what `start` started is ready.

    Args:
        port: Where it listens.
        process: It.
        log: Its log, open for reading, too.

    Raises:
        RuntimeError: It has ended, or takes too long; the message has the end of its log.
    """
    end = time.monotonic() + _START_SECONDS
    while not is_ready(port):
        if process.poll() is not None or time.monotonic() > end:
            log.seek(0)
            said = log.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"the server did not become ready; it says\n{said}")
        time.sleep(0.1)


def is_ready(port: int) -> bool:
    """Whether the server on that port says that it is ready."""
    try:
        with DIRECTLY.open(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except OSError:
        return False


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


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
