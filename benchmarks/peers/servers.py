"""Starts, freezes and ends the servers that are compared."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import measure_in_process
from benchmarks.processes import Family
from benchmarks.service import free_port

_FOLDER = Path(__file__).parent
_READY_SECONDS = 180.0
_ATTEMPTS = 3


@dataclass(frozen=True)
class Peer:
    """A server that can be started.

    Attributes:
        name: What tables call it.
        file: In this folder.
        kind: How it takes images, as `load.BODIES` names it.
        packages: What it needs beside Twinlens; nothing for what Twinlens has itself.
    """

    name: str
    file: str
    kind: str
    packages: tuple[str, ...] = ()


PEERS = (
    Peer("Twinlens", "twinlens.py", "raw"),
    Peer("FastAPI, thread pool", "bare_fastapi.py", "raw"),
    Peer("LitServe", "lit_serve.py", "base64", ("litserve",)),
    # MLServer asks for an event loop where newer versions of uvloop have none.
    Peer("MLServer", "ml_server.py", "v2", ("mlserver", "uvloop<0.22")),
    Peer("BentoML", "bento_ml.py", "base64-list", ("bentoml",)),
    Peer("Triton", "py_triton.py", "v2-binary", ("nvidia-pytriton",)),
)


def interpreter(peer: Peer, venvs: Path) -> str:
    """Python with the server and Twinlens; made in `venvs` if it is not there."""
    if not peer.packages:
        return sys.executable
    folder = venvs / peer.packages[0]
    python = folder / "bin" / "python"
    if not (folder / ".ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        ours = next(path for path in sys.path if path.endswith("site-packages"))
        (theirs,) = folder.glob("lib/python*/site-packages")
        # After its own packages, those of the environment that runs this.
        (theirs / "zz-twinlens.pth").write_text(ours + "\n")
        subprocess.run([python, "-m", "pip", "install", "--quiet", *peer.packages], check=True)
        (folder / ".ready").touch()
    return str(python)


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        peer: What it is.
        port: Where it listens.
        processes: What it runs in.
    """

    peer: Peer
    port: int
    processes: Family


@contextlib.contextmanager
def started(peer: Peer, venvs: Path, environment: dict[str, str]) -> Iterator[Server]:
    """A server that answers, until the block ends.

    One that ends by itself is started again: Triton gives its own start a second, which a busy
    machine may exceed.
    """
    python = interpreter(peer, venvs)
    failed = f"ended by itself, {_ATTEMPTS} times"
    for _ in range(_ATTEMPTS):
        with _running(peer, python, environment) as server:
            if _answers(server):
                yield server
                return
            if server.processes.runs:
                failed = f"did not answer within {_READY_SECONDS:.0f} s"
                break
    set_to = "".join(f"{name}={value} " for name, value in environment.items())
    sys.exit(
        f"error: {peer.name} {failed}; see why with: "
        f"PYTHONPATH=. {set_to}{python} benchmarks/peers/{peer.file} 8000"
    )


@contextlib.contextmanager
def _running(peer: Peer, python: str, environment: dict[str, str]) -> Iterator[Server]:
    port = free_port()
    process = subprocess.Popen(
        [python, str(_FOLDER / peer.file), str(port)],
        env={
            **os.environ,
            "PYTHONPATH": str(_FOLDER.parents[1]),
            "TWINLENS_CACHE_BYTES": "0",
            **environment,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    server = Server(peer, port, Family(process.pid))
    try:
        yield server
    finally:
        server.processes.thaw()
        handles = server.processes.handles()
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        for handle in handles:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)
        process.wait()


def _answers(server: Server) -> bool:
    """Whether it answers in time; False as soon as it has ended."""
    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end and server.processes.runs:
        found = measure_in_process(server.port, 0.3, kind=server.peer.kind)
        if found["images_per_second"]:
            return True
        time.sleep(0.5)
    return False
