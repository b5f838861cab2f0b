"""Steady load: requests at fixed times, whether those before them are answered or not.

A closed loop would slow down together with what it measures and so hide every stall; here each
request has its time, and a late answer counts from then.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.connection import BROKEN, Pool
from benchmarks.load import multipart, percentile
from benchmarks.photos import load_photos

PHOTOS = 64
_LOST = 0
_PATIENCE_SECONDS = 40.0


@dataclass(frozen=True)
class Sample:
    """What came of one request.

    Attributes:
        due: When it was to be sent, in seconds of `time.perf_counter`.
        seconds: From then to the end of its answer, or to its loss.
        status: Of its answer; 0 where none came.
    """

    due: float
    seconds: float
    status: int

    @property
    def lost(self) -> bool:
        """Whether anything but a 200 came of it."""
        return self.status != 200


def pairs(count: int = PHOTOS) -> list[bytes]:
    """`POST /compare` of each photo with its neighbour, as the bytes of whole requests."""
    files, _ = load_photos(count)
    return [_compare(one, two) for one, two in itertools.pairwise([*files, files[0]])]


def _compare(one: bytes, two: bytes) -> bytes:
    parts = [("image_a", "image/jpeg", one), ("image_b", "image/jpeg", two)]
    return multipart("/compare", parts).encode()


class SteadyLoad:
    """Load on a port of this machine, from the moment it is entered until it is left.

    Nothing is sent twice: what the balancer does not hide from the client counts as lost.

    Args:
        port: Of 127.0.0.1.
        rate: Requests a second.
        requests: What to send, in turn.

    Attributes:
        samples: What came of the requests, in the order in which that was known.
    """

    def __init__(self, port: int, rate: float, requests: Sequence[bytes]) -> None:
        self.samples: list[Sample] = []
        self._interval = 1 / rate
        self._requests = requests
        self._connections = Pool(port)
        self._ended = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "SteadyLoad":
        self._sender = asyncio.create_task(self._send_all())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._ended.set()
        if self._sender is not None:
            await self._sender
        self._connections.close()

    def since(self, start: float, end: float = float("inf")) -> list[Sample]:
        """The samples due within that time."""
        return [sample for sample in self.samples if start <= sample.due < end]

    async def _send_all(self) -> None:
        start = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number in itertools.count():
                due = start + number * self._interval
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), max(0.0, due - time.perf_counter()))
                if self._ended.is_set():
                    return
                tasks.create_task(self._one(due, self._requests[number % len(self._requests)]))

    async def _one(self, due: float, request: bytes) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                status = await self._exchange(request)
        except (*BROKEN, TimeoutError):
            status = _LOST
        self.samples.append(Sample(due, time.perf_counter() - due, status))

    async def _exchange(self, request: bytes) -> int:
        connection = self._connections.take()
        status = await connection.send(request)
        self._connections.give(connection)
        return status


def latency(samples: Sequence[Sample], share: float) -> float:
    """What this share of the samples does not exceed, in seconds; 0 of none."""
    return percentile([sample.seconds for sample in samples], share) if samples else 0.0


def windows(samples: Sequence[Sample], start: float, end: float) -> Iterator[list[Sample]]:
    """The samples of each whole second from start to end, by when they were due."""
    for second in range(int(end - start)):
        yield [s for s in samples if start + second <= s.due < start + second + 1]


def seconds_raised(samples: Sequence[Sample], event: float, before: float, after: float) -> float:
    """For how long an event raised the 99th percentile.

    Args:
        samples: What came of the requests.
        event: When it happened, as the samples' `due`.
        before: Seconds before it that show how it is otherwise.
        after: Seconds after it to look at.

    Returns:
        Seconds from the event until the last slow request was due; 0 if there is none. Slow are
        those that make the 99th percentile of their one-second window exceed all of those before
        the event, and one and a half times the percentile of them together.
    """
    usual = [s for s in samples if event - before <= s.due < event]
    worst = max((latency(w, 0.99) for w in windows(usual, event - before, event)), default=0.0)
    limit = max(worst, 1.5 * latency(usual, 0.99))
    slow = [
        sample.due
        for window in windows(samples, event, event + after)
        if latency(window, 0.99) > limit
        for sample in window
        if sample.seconds > limit
    ]
    return max(slow, default=event) - event
