"""Single images in, batches to the device, each image's embedding back out."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Condition, Thread
from time import perf_counter
from weakref import WeakKeyDictionary

from app.inference.engines.base import Engine
from app.inference.errors import EngineFailed, InferenceError, NotReady
from app.inference.lane import Lane
from app.inference.rows import Row
from app.inference.runner import BatchRunner
from app.observability.metrics import Metrics
from model_store.preprocessing import UInt8Image

_logger = logging.getLogger(__name__)

_JOIN_SECONDS = 5.0
_CLOSING = "the service is shutting down; send the request again elsewhere"


@dataclass(frozen=True)
class Fault:
    """Why nothing can be embedded until something is done about it.

    Attributes:
        reason: For users.
        model: The model whose engine is at fault; None if it is no engine's.
    """

    reason: str
    model: str | None


@dataclass(eq=False, slots=True)
class _Item:
    image: UInt8Image
    answer: asyncio.Future[Row]
    queued: float = field(default_factory=perf_counter)


@dataclass(eq=False, slots=True)
class _Batch:
    """What a thread is at: `items` without an answer, `since` the last call of the engine."""

    lane: Lane
    items: Sequence[_Item]
    since: float = field(default_factory=perf_counter)


_Outcome = tuple[_Item, Row | InferenceError]


class Batcher:
    """One queue a lane, and threads that take batches from them to the device.

    A batch is taken whenever the device could begin with it and anything waits: a lone image goes
    at once, and those that arrive while the device is busy form the next batches. An engine says
    how many batches are computed side by side and how many of them should be its own, and what
    waits is shared between these. Lanes take turns, so that a busy model does not starve the
    others. An image whose request is cancelled leaves the queue. Every image gets exactly one
    answer, also from an engine that fails, hangs or kills its thread: then there is a fault, all
    images are answered, and none is taken until `recover`.

    Made, used and closed on one event loop.

    Args:
        max_batch: Most images in a batch.
        threads: Most batches with the device at a time.
        metrics: Where sizes, times and failures go on record.
    """

    def __init__(self, *, max_batch: int, threads: int, metrics: Metrics) -> None:
        self._loop = asyncio.get_running_loop()
        self._max_batch = max_batch
        self._metrics = metrics
        self._limits: WeakKeyDictionary[Engine, int] = WeakKeyDictionary()
        self._failed_batches: WeakKeyDictionary[Engine, int] = WeakKeyDictionary()
        self._condition = Condition()
        # Guarded by the condition. A lane is a key exactly while images of it wait; the order of
        # the keys is the order of the turns. Batches are by the number of their thread. Threads of
        # an older generation have been given up.
        self._waiting: dict[Lane, deque[_Item]] = {}
        self._in_work: dict[int, _Batch] = {}
        self._closing = False
        self._fault: Fault | None = None
        self._generation = 0
        self._count = threads
        self._threads = self._start_threads()

    @property
    def fault(self) -> Fault | None:
        """Why nothing is embedded now, or None while all is well."""
        return self._fault

    @property
    def depth(self) -> int:
        """Images that wait for the device."""
        with self._condition:
            return sum(map(len, self._waiting.values()))

    @property
    def busy_seconds(self) -> float:
        """How long the device has been at its longest call of an engine; 0 while it is idle."""
        with self._condition:
            batch = self._longest()
            return 0.0 if batch is None else perf_counter() - batch.since

    async def submit(self, lane: Lane, image: UInt8Image) -> Row:
        """Embeds one image.

        Args:
            lane: Whose engine embeds it.
            image: uint8 (height, width, channels), of the size the engine takes.

        Returns:
            A row that owns its memory.

        Raises:
            EngineFailed: The engine failed, hung or died on the batch with this very image.
            NotReady: The batcher is closed, or there is a fault.
        """
        item = _Item(image, self._loop.create_future())
        with self._condition:
            if self._fault is not None:
                raise _unready(self._fault)
            if self._closing:
                raise NotReady(_CLOSING)
            self._waiting.setdefault(lane, deque()).append(item)
            if self._next() is not None:
                self._condition.notify()
        try:
            return await item.answer
        except asyncio.CancelledError:
            self._withdraw(lane, item)
            raise

    def condemn_if_stuck(self, seconds: float) -> None:
        """Declares a fault if the device has been at one call of an engine for so long."""
        with self._condition:
            batch = self._longest()
            if batch is None:
                return
            busy = perf_counter() - batch.since
            if busy > seconds:
                model = batch.lane.model
                reason = f"the device has hung in model '{model}' ({busy:.0f} s in one call)"
                self._condemn(Fault(reason, model), self._generation)

    def recover(self) -> None:
        """Ends a fault: takes images again, on new threads."""
        with self._condition:
            self._fault = None
            self._threads = self._start_threads()

    async def close(self, *, drain: bool = True) -> None:
        """Ends the threads.

        Args:
            drain: Whether images that wait are still embedded, or answered with `NotReady`.
        """
        with self._condition:
            self._closing = True
            given_up = [] if drain else self._empty()
            self._condition.notify_all()
        _resolve([(item, NotReady(_CLOSING)) for item in given_up])
        if self._fault is None:
            await asyncio.to_thread(_join, self._threads)

    def _start_threads(self) -> list[Thread]:
        threads = [
            # Daemons, so that one that hangs does not keep the process from ending.
            Thread(
                target=self._run,
                args=(self._generation, number),
                name=f"twinlens-device-{number}",
                daemon=True,
            )
            for number in range(self._count)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _longest(self) -> _Batch | None:
        return min(self._in_work.values(), key=lambda batch: batch.since, default=None)

    def _withdraw(self, lane: Lane, item: _Item) -> None:
        with self._condition:
            try:
                self._waiting.get(lane, deque[_Item]()).remove(item)
            except ValueError:
                where = "device"
            else:
                where = "queue"
                if not self._waiting[lane]:
                    del self._waiting[lane]
        self._metrics.dropped(where)

    def _empty(self) -> list[_Item]:
        items = [item for queue in self._waiting.values() for item in queue]
        self._waiting.clear()
        return items

    def _run(self, generation: int, number: int) -> None:
        # Of its own: a thread that was given up may still write to the buffers it has.
        runner = BatchRunner(
            max_batch=self._max_batch,
            limits=self._limits,
            failed_batches=self._failed_batches,
            before_call=lambda: self._beat(generation, number),
            metrics=self._metrics,
        )
        try:
            while (batch := self._take(generation, number)) is not None:
                self._serve(runner, batch, generation)
        # Whatever ends the thread must be known to /readyz and to those who wait for an answer.
        except BaseException as error:
            _logger.exception("a device thread has died")
            with self._condition:
                at = self._in_work.get(number) if generation == self._generation else None
            model = None if at is None else at.lane.model
            fault = Fault(f"a device thread has died ({type(error).__name__})", model)
            self._condemn(fault, generation)

    def _beat(self, generation: int, number: int) -> None:
        with self._condition:
            if generation == self._generation:
                self._in_work[number].since = perf_counter()

    def _take(self, generation: int, number: int) -> _Batch | None:
        """Waits for work; None when closed and empty, or given up."""
        with self._condition:
            if generation == self._generation:
                self._in_work.pop(number, None)
            while generation == self._generation and (lane := self._next()) is None:
                if self._closing and not self._waiting:
                    self._condition.notify_all()  # The others need not wait any longer either.
                    return None
                self._condition.wait()
            if generation != self._generation or lane is None:
                return None
            queue = self._waiting.pop(lane)
            items = [queue.popleft() for _ in range(self._share(lane, len(queue)))]
            if queue:
                self._waiting[lane] = queue
            batch = self._in_work[number] = _Batch(lane, items)
            if self._next() is not None:
                self._condition.notify()
            return batch

    def _next(self) -> Lane | None:
        """The lane that a free thread should take a batch from now: the one whose turn it is.

        A lane is passed over only while its engine has all that it should have at a time. Passed
        over because the device is busy with others, it could wait for ever.
        """
        working = [batch.lane.engine for batch in self._in_work.values()]
        for lane in self._waiting:
            # What would wait inside the engine may as well wait here, unless it cannot grow.
            full = len(self._waiting[lane]) >= self._most(lane)
            own = lane.engine.concurrency
            if working.count(lane.engine) >= (own.own_calls if full else own.own_streams):
                continue
            limits = [own, *(engine.concurrency for engine in working)]
            room = min(limit.calls if full else limit.streams for limit in limits)
            return lane if len(working) < room else None
        return None

    def _share(self, lane: Lane, waiting: int) -> int:
        """Images of the next batch: what waits, shared between the streams that are free."""
        working = [batch.lane.engine for batch in self._in_work.values()]
        own = lane.engine.concurrency
        free = min(own.streams - len(working), own.own_streams - working.count(lane.engine))
        return min(-(-waiting // max(1, free)), self._most(lane))

    def _most(self, lane: Lane) -> int:
        limit = self._limits.get(lane.engine, self._max_batch)
        return min(limit, lane.engine.concurrency.batch or limit)

    def _serve(self, runner: BatchRunner, batch: _Batch, generation: int) -> None:
        lane, items = batch.lane, batch.items
        started = perf_counter()
        for item in items:
            self._metrics.stage("queue", started - item.queued)
        images = [item.image for item in items]
        outcomes = runner.run(lane, images)
        self._metrics.batch(lane.model, len(items), perf_counter() - started)
        self._answer(list(zip(items, outcomes, strict=True)))
        with self._condition:
            batch.items = ()
        reason = runner.breakage(lane, images, outcomes)
        if reason is not None:
            self._condemn(Fault(reason, lane.model), generation)

    def _condemn(self, fault: Fault, generation: int) -> None:
        """Answers everything, and gives the present threads up."""
        with self._condition:
            if generation != self._generation:
                return
            self._generation += 1
            self._fault = fault
            in_work = [item for batch in self._in_work.values() for item in batch.items]
            waiting = self._empty()
            self._in_work = {}
            self._condition.notify_all()
        _logger.error("fault: %s", fault.reason)
        failed = EngineFailed(f"{fault.reason}, and this image was in work; try another model")
        self._answer(
            [*((item, failed) for item in in_work), *((i, _unready(fault)) for i in waiting)]
        )

    def _answer(self, outcomes: list[_Outcome]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_resolve, outcomes)


def _join(threads: Sequence[Thread]) -> None:
    """Waits for all of them, for a while."""
    end = perf_counter() + _JOIN_SECONDS
    for thread in threads:
        thread.join(max(0.0, end - perf_counter()))


def _unready(fault: Fault) -> NotReady:
    return NotReady(f"{fault.reason}; it is being mended, send the request again elsewhere")


def _resolve(outcomes: list[_Outcome]) -> None:
    for item, outcome in outcomes:
        if item.answer.done():
            continue  # Its request ended while it was on the device.
        if isinstance(outcome, Exception):
            item.answer.set_exception(outcome)
        else:
            item.answer.set_result(outcome)
