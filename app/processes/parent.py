"""The parent of a service's processes: starts them, starts them again, and ends them.

`python -m app` becomes this module once it has found that the service can run. It imports next to
nothing, so that next to nothing can break it: what the libraries take, some 500 MB, is the
children's.
"""

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from app.addresses import cannot_listen
from app.exits import EXIT_BROKEN, EXIT_FORCED, EXIT_USAGE
from app.observability import logs
from app.processes.folder import Folder
from app.processes.hung import end_if_hung
from app.processes.keeper import USUAL, Child, Patience
from app.processes.listening import bind, claim, port_of

_logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# For what a front-end does after it has drained: last answers, last traces.
_CLOSING_SECONDS = 15.0
_DEVICE_SECONDS = 5.0
# When the device breaks, all front-ends notice, one after the other.
_SAME_FAULT_SECONDS = 5.0


@dataclass(frozen=True)
class Plan:
    """What the parent must know of the settings.

    Attributes:
        host: As the setting.
        port: Likewise.
        processes: Front-ends to start.
        drain_seconds: As the setting.
        watchdog_seconds: Likewise.
        log_level: Likewise.
    """

    host: str
    port: int
    processes: int
    drain_seconds: float
    watchdog_seconds: float
    log_level: str


class Parent:
    """Runs front-ends and a device process until a signal comes. Made and used on one event loop.

    Args:
        front_ends: Commands that start them, in the order of their numbers.
        device: The command that starts the device process.
        environment: The children's.
        folder: Where they meet.
        drain_seconds: How long front-ends may take to drain.
        watchdog_seconds: How long a front-end may take to answer.
        patience: How soon children that end are started again.
    """

    def __init__(
        self,
        *,
        front_ends: Iterable[list[str]],
        device: list[str],
        environment: dict[str, str],
        folder: Folder,
        drain_seconds: float,
        watchdog_seconds: float,
        patience: Patience = USUAL,
    ) -> None:
        self._folder = folder
        self._drain_seconds = drain_seconds
        self._watchdog_seconds = watchdog_seconds
        # Only this process has the writing end, so that reading ends when this process does.
        stdin, self._leash = os.pipe()
        self._device = Child("device process", device, stdin, environment, patience=patience)
        self._front_ends = [
            Child(
                f"front-end {number}",
                command,
                stdin,
                environment,
                lambda status, number=number: self._front_end_ended(number, status),  # type: ignore[misc]
                patience,
            )
            for number, command in enumerate(front_ends)
        ]
        self._ending = asyncio.Event()
        self._refusal: str | None = None

    async def run(self) -> int:
        """Returns the exit status, once everything has ended."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._signalled, number)
        device = asyncio.create_task(self._device.keep())
        front_ends = [asyncio.create_task(child.keep()) for child in self._front_ends]
        ending = asyncio.create_task(self._ending.wait())
        watching = [
            asyncio.create_task(
                end_if_hung(child, self._folder.socket(number), self._watchdog_seconds)
            )
            for number, child in enumerate(self._front_ends)
        ]
        first, _ = await asyncio.wait(
            [ending, device, *front_ends, *watching], return_when=asyncio.FIRST_COMPLETED
        )
        for watch in watching:
            watch.cancel()
        for task in first:
            # Raises what a task has raised: nothing is as it should be then, and the children end
            # with this process.
            task.result()
        status = await self._end(
            self._front_ends, front_ends, self._drain_seconds + _CLOSING_SECONDS
        )
        # It computes for the front-ends until the last of them has drained.
        self._device.stop(signal.SIGTERM)
        status = max(status, await self._end([self._device], [device], _DEVICE_SECONDS))
        if self._refusal is not None:
            print(f"error: {self._refusal}", file=sys.stderr)
            return EXIT_USAGE
        return status

    async def _end(
        self, children: list[Child], tasks: list[asyncio.Task[None]], seconds: float
    ) -> int:
        """Waits for children that were told to end; after so many seconds it insists."""
        _, late = await asyncio.wait(tasks, timeout=seconds)
        if not late:
            return 0
        for child, task in zip(children, tasks, strict=True):
            if task in late:
                _logger.error("%s does not end and is killed", child.name)
                child.stop(signal.SIGKILL)
        await asyncio.wait(late)
        return EXIT_FORCED

    def _signalled(self, number: signal.Signals) -> None:
        name = signal.Signals(number).name
        if self._ending.is_set():
            _logger.warning("second signal %s: ending at once", name)
            for child in (*self._front_ends, self._device):
                child.stop(signal.SIGKILL)
            shutil.rmtree(self._folder.path, ignore_errors=True)
            os._exit(EXIT_FORCED)
        _logger.info("%s: draining", name)
        self._stop_front_ends()

    def _stop_front_ends(self) -> None:
        for child in self._front_ends:
            # Never SIGINT, of which one that still imports would make a traceback.
            child.stop(signal.SIGTERM)
        self._ending.set()

    def _front_end_ended(self, number: int, status: int) -> None:
        child = self._front_ends[number]
        if status == EXIT_USAGE:
            path = self._folder.refusal(number)
            said = path.read_text("utf-8") if path.exists() else f"{child.name} would not start"
            path.unlink(missing_ok=True)
            if child.starts == 1 and not self._ending.is_set():
                self._refusal = said
                self._stop_front_ends()
            else:
                _logger.error("%s: %s", child.name, said)
        elif status == EXIT_BROKEN:
            # What it could not mend is the engine, which is there.
            age = asyncio.get_running_loop().time() - self._device.started
            if age > _SAME_FAULT_SECONDS:
                _logger.warning("the device process is started again too")
                self._device.replace()


def become(plan: Plan) -> NoReturn:
    """Makes this process the parent, with nothing left of what it has imported.

    Its process id stays, which is what whoever started the service knows it by. So do signals that
    come meanwhile: they wait for `main`.
    """
    logging.shutdown()
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    os.execv(  # noqa: S606 (no shell is wanted)
        sys.executable, [sys.executable, "-m", __name__, json.dumps(asdict(plan))]
    )


def main(plan: Plan) -> int:
    """Runs the service; returns the process's exit status."""
    # Until the event loop has handlers of its own, there is nothing to drain.
    for number in _SIGNALS:
        signal.signal(number, lambda *_: sys.exit(0))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    logs.configure(plan.log_level)
    try:
        # Other users get into a folder that mkdtemp makes as little as into a file of theirs.
        path = Path(tempfile.mkdtemp(prefix="twinlens-"))
    except OSError as error:
        print(
            f"error: there is no folder for the sockets of the processes ({error.strerror}); name "
            "one that can be written to in TMPDIR",
            file=sys.stderr,
        )
        return EXIT_USAGE
    try:
        return _run(plan, Folder(path))
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _run(plan: Plan, folder: Folder) -> int:
    if folder.too_deep():
        print(
            f"error: the path {folder.device} is too long for a socket; name a folder with a "
            "shorter one in TMPDIR",
            file=sys.stderr,
        )
        return EXIT_USAGE
    try:
        # Never listened on: they keep the port while front-ends come and go.
        held = bind(plan.host, plan.port)
        claimed = claim(held)
    except (OSError, UnicodeError) as error:
        print(f"error: {cannot_listen(plan.host, plan.port, error)}", file=sys.stderr)
        return EXIT_USAGE
    python = [sys.executable, "-m"]

    async def run() -> int:
        parent = Parent(
            front_ends=[
                [*python, "app", "front-end", str(folder.path), str(number)]
                for number in range(plan.processes)
            ],
            device=[*python, "app.processes.leash", "app.inference.device", str(folder.device)],
            environment={**os.environ, "TWINLENS_PORT": str(port_of(held))},
            folder=folder,
            drain_seconds=plan.drain_seconds,
            watchdog_seconds=plan.watchdog_seconds,
        )
        return await parent.run()

    with contextlib.ExitStack() as claims:
        for each in claimed:
            claims.enter_context(each)
        return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main(Plan(**json.loads(sys.argv[1]))))
