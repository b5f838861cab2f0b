"""Images that wait for the device, the batches that it is at, and whose turn it is."""

import asyncio
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from app.inference.callers import Callers
from app.inference.engines.base import Engine
from app.inference.lane import Lane
from app.inference.rows import Row
from model_store.preprocessing import UInt8Image


@dataclass(eq=False, slots=True)
class Slot:
    """A place for one image, and its answer.

    Attributes:
        lane: Whose engine embeds it.
        answer: The image's row, or why there is none.
        image: uint8 (height, width, channels); None until it is there.
        queued: When it came.
        abandoned: Whether nobody waits for the answer any more.
    """

    lane: Lane
    answer: asyncio.Future[Row]
    image: UInt8Image | None = None
    queued: float = 0.0
    abandoned: bool = False


@dataclass(eq=False, slots=True)
class Batch:
    """What a thread is at.

    Attributes:
        lane: Of all its images.
        slots: Those without an answer.
        lone_images: All images of their caller if nobody else is about, else 0.
        since: When the engine was last called.
    """

    lane: Lane
    slots: Sequence[Slot]
    lone_images: int = 0
    since: float = field(default_factory=perf_counter)


class Schedule:
    """Which batch is next.

    An engine says how many batches are computed side by side and how many of them should be its
    own, and what waits is shared between these. It also says how few images go to it one by one.
    Lanes take turns, so that a busy model does not starve the others.

    Not safe for threads: whoever has it guards it.

    Args:
        max_batch: Most images in a batch.
        limits: Fewer than that, by engine.
        callers: Whose images they are.
    """

    def __init__(self, max_batch: int, limits: Mapping[Engine, int], callers: Callers) -> None:
        self._max_batch = max_batch
        self._limits = limits
        self._callers = callers
        # A lane is a key exactly while images of it wait; the order of the keys is the order of
        # the turns.
        self._waiting: dict[Lane, deque[Slot]] = {}
        self._in_work: dict[int, Batch] = {}

    @property
    def depth(self) -> int:
        """Images that wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def longest(self) -> Batch | None:
        """The batch whose call of an engine has lasted longest; None while the device is idle."""
        return min(self._in_work.values(), key=lambda batch: batch.since, default=None)

    @property
    def load(self) -> float:
        """The part of the device that is used now: 1 where no call more would be computed at once.

        Calls that wait behind others inside the engine count for nothing.
        """
        calls = Counter(batch.lane.engine for batch in self._in_work.values())
        about = self._about(self.depth)
        used = 0.0
        for engine, count in calls.items():
            own = engine.concurrency
            used += min(count, own.own_streams(about, lone=self._lone)) / own.worth
        return min(1.0, used)

    def add(self, slot: Slot) -> None:
        """Puts an image at the end of its lane."""
        self._waiting.setdefault(slot.lane, deque()).append(slot)

    def remove(self, slot: Slot) -> bool:
        """Takes an image out of its lane; False if it does not wait there."""
        queue = self._waiting.get(slot.lane, deque[Slot]())
        try:
            queue.remove(slot)
        except ValueError:
            return False
        if not queue:
            del self._waiting[slot.lane]
        return True

    def clear(self) -> list[Slot]:
        """Empties all lanes; gives what waited."""
        slots = [slot for queue in self._waiting.values() for slot in queue]
        self._waiting.clear()
        return slots

    def abandon(self) -> list[Slot]:
        """Forgets the batches in work; gives those of their images that have no answer."""
        slots = [slot for batch in self._in_work.values() for slot in batch.slots]
        self._in_work.clear()
        return slots

    def turn(self) -> Lane | None:
        """The lane that a free thread should take a batch from now: the one whose turn it is.

        A lane is passed over only while its engine has all that it should have at a time. Passed
        over because the device is busy with others, it could wait for ever.
        """
        working = [batch.lane.engine for batch in self._in_work.values()]
        for lane in self._waiting:
            # What would wait inside the engine may as well wait here, unless it cannot grow.
            waiting = len(self._waiting[lane])
            about = self._about(waiting)
            full = waiting >= self._most(lane, about)
            own = lane.engine.concurrency
            at_once = own.own_calls if full else own.own_streams
            if working.count(lane.engine) >= at_once(about, lone=self._lone):
                continue
            limits = [own, *(engine.concurrency for engine in working)]
            room = min(limit.calls if full else limit.streams for limit in limits)
            return lane if len(working) < room else None
        return None

    def take(self, lane: Lane, thread: int) -> Batch:
        """Gives a thread the next batch of the lane whose turn it is."""
        queue = self._waiting.pop(lane)
        slots = [queue.popleft() for _ in range(self._share(lane, len(queue)))]
        if queue:
            self._waiting[lane] = queue
        batch = self._in_work[thread] = Batch(lane, slots, self._callers.lone_images)
        return batch

    def at(self, thread: int) -> Batch | None:
        """What a thread is at."""
        return self._in_work.get(thread)

    def done(self, thread: int) -> None:
        """A thread is at nothing any more."""
        self._in_work.pop(thread, None)

    def _share(self, lane: Lane, waiting: int) -> int:
        """Images of the next batch: what waits, shared between the streams that are free."""
        working = [batch.lane.engine for batch in self._in_work.values()]
        own = lane.engine.concurrency
        about = self._about(waiting)
        streams = own.own_streams(about, lone=self._lone)
        free = min(own.streams - len(working), streams - working.count(lane.engine))
        return min(-(-waiting // max(1, free)), self._most(lane, about))

    def _most(self, lane: Lane, about: int) -> int:
        """Most images of the next batch, while so many wait or are in work."""
        own = lane.engine.concurrency
        if about <= own.alone:
            return 1
        limit = self._limits.get(lane.engine, self._max_batch)
        return min(limit, own.batch or limit)

    @property
    def _lone(self) -> bool:
        return self._callers.lone_images > 0

    def _about(self, waiting: int) -> int:
        """Images that wait or are in work."""
        return waiting + sum(len(batch.slots) for batch in self._in_work.values())
