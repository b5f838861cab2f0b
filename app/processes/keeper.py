"""Keeps one child process running."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from app.observability.logs import fields

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How soon a child that ended by itself is started again.

    Attributes:
        settled_seconds: One that lived as long is started again at once.
        shortest: Seconds until the next start, of one that did not.
        longest: What they grow to, twofold each time.
    """

    settled_seconds: float = 10.0
    shortest: float = 0.5
    longest: float = 30.0

    def delay(self, lived: float, before: float) -> float:
        """Seconds until the next start.

        Args:
            lived: Seconds that the child did.
            before: What was waited before its start.
        """
        if lived >= self.settled_seconds:
            return 0.0
        return min(self.longest, max(self.shortest, 2 * before))


USUAL = Patience()


@dataclass(eq=False)
class Child:
    """A process that is started again whenever it ends by itself. Used on one event loop.

    Attributes:
        name: For the log.
        command: Starts it.
        stdin: A file descriptor, its standard input.
        environment: All of it.
        ended: Told of its exit status each time it ends by itself, before it is started again;
            negative for a signal.
        patience: How soon that is.
        starts: How often it was started.
        started: The event loop's time of the last start.
    """

    name: str
    command: Sequence[str]
    stdin: int
    environment: dict[str, str]
    ended: Callable[[int], None] = lambda status: None  # noqa: ARG005 (nobody need be told)
    patience: Patience = USUAL
    starts: int = 0
    started: float = 0.0
    _process: asyncio.subprocess.Process | None = None
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _replaced: bool = False

    async def keep(self) -> None:
        """Starts it, again and again, until it was told to stop and has ended."""
        delay = 0.0
        while not self._stopping.is_set():
            status = await self._run()
            if self._stopping.is_set():
                return
            if self._replaced:
                self._replaced, delay = False, 0.0
                continue
            delay = self.patience.delay(asyncio.get_running_loop().time() - self.started, delay)
            if status is not None:
                self.ended(status)
                if self._stopping.is_set():
                    return
                _logger.warning(
                    "%s has ended (%s); it is started again in %g s",
                    self.name,
                    _described(status),
                    delay,
                    extra=fields(process=self.name, status=status),
                )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stopping.wait()

    def stop(self, number: signal.Signals) -> None:
        """Sends it a signal, after which it is not started again."""
        self._stopping.set()
        self._send(number)

    def replace(self) -> None:
        """Ends it at once, and has another take its place as soon."""
        if self._process is not None and self._process.returncode is None:
            self._replaced = True
            # One that hangs in a call, or is stopped, would hear nothing else.
            self._send(signal.SIGKILL)

    def kill(self) -> None:
        """Ends it at once; it is started again as if it had ended by itself."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _run(self) -> int | None:
        """Its exit status, once it has ended; None where it cannot be started now."""
        self.starts += 1
        self.started = asyncio.get_running_loop().time()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=self.stdin,
                env=self.environment,
                # Ctrl-C is sent to the group of the terminal: here it is the parent's to pass on.
                process_group=0,
            )
        except OSError:
            _logger.exception("%s cannot be started", self.name)
            return None
        _logger.info(
            "%s started", self.name, extra=fields(process=self.name, pid=self._process.pid)
        )
        if self._stopping.is_set():
            # It was told to stop before there was anyone to tell.
            self._send(signal.SIGTERM)
        return await self._process.wait()


def _described(status: int) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-status).name
    return f"status {status}"
