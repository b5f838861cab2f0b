"""Single images in, batches to the device, each image's embedding back out."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Condition, Thread
from time import perf_counter
from weakref import WeakKeyDictionary, WeakSet

from app.inference.callers import Callers
from app.inference.engines.base import Engine, has_ended
from app.inference.errors import CLOSING, EngineFailed, EngineGone, NotReady
from app.inference.lane import Lane
from app.inference.rows import Row
from app.inference.runner import BatchRunner
from app.inference.schedule import Batch, Schedule, Slot
from app.inference.slices import compute_in_long_slices
from app.observability.metrics import Metrics
from model_store.preprocessing import UInt8Image

_logger = logging.getLogger(__name__)

_JOIN_SECONDS = 5.0


@dataclass(frozen=True)
class Fault:
    """Why nothing can be embedded until something is done about it.

    Attributes:
        reason: For users.
        model: The model whose engine is at fault; None if it is no engine's.
        gone: Whether what computes for the engine has ended, and nothing is wrong with the engine.
    """

    reason: str
    model: str | None
    gone: bool = False


_Outcome = tuple[Slot, Row | BaseException]


class Batcher:
    """One queue a lane, and threads that take batches from them to the device.

    A batch is taken whenever the device could begin with it and anything waits: a lone image goes
    at once, and those that arrive while the device is busy form the next batches (`Schedule` says
    which). An image whose request is cancelled leaves the queue. Every image gets exactly one
    answer, also from an engine that fails, hangs or kills its thread: then there is a fault, all
    images are answered, and none is taken until `recover`. The engine at fault gets none even then:
    another has taken its place.

    Who wants an embedding asks for a slot (`expect`), has an image put into it (`put`, or `fail`
    where there is none), and waits for the slot's answer, or gives it up (`withdraw`).

    Made, used and closed on one event loop, but for `put` and `fail`.

    Args:
        max_batch: Most images in a batch.
        threads: Most batches with the device at a time.
        callers: Who wants the images.
        metrics: Where sizes, times and failures go on record.
    """

    def __init__(self, *, max_batch: int, threads: int, callers: Callers, metrics: Metrics) -> None:
        self._loop = asyncio.get_running_loop()
        self._max_batch = max_batch
        self._metrics = metrics
        self._limits: WeakKeyDictionary[Engine, int] = WeakKeyDictionary()
        self._failed_batches: WeakKeyDictionary[Engine, int] = WeakKeyDictionary()
        self._condition = Condition()
        # Guarded by the condition, as is the schedule. Batches in work are by the number of their
        # thread. Threads of an older generation have been given up.
        self._schedule = Schedule(max_batch, self._limits, callers)
        self._closing = False
        self._fault: Fault | None = None
        # Images that were still being decoded at a fault come after it, for the engine at fault. It
        # would fail on them, too, and seem to be the new one, broken again.
        self._given_up: WeakSet[Engine] = WeakSet()
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
            return self._schedule.depth

    def limit(self, engine: Engine) -> int | None:
        """Most images in a batch of an engine that had no memory for more; None for the others."""
        return self._limits.get(engine)

    @property
    def busy_seconds(self) -> float:
        """How long the device has been at its longest call of an engine; 0 while it is idle."""
        with self._condition:
            batch = self._schedule.longest
            return 0.0 if batch is None else perf_counter() - batch.since

    def expect(self, lane: Lane) -> Slot:
        """A slot for an image that is still being made.

        Whoever makes the image hands it over itself, from a thread of its own. By way of the event
        loop it would wait for the loop's turn, and the device with it.

        Args:
            lane: Whose engine embeds it.

        Returns:
            The slot. Its answer becomes a row that owns its memory, what `fail` was given, or
            `EngineFailed`: the engine failed on this very image, or hung or died with it in work;
            or `NotReady`: the batcher is closed, what computes has ended, there is a fault, or
            there was one of the lane's engine.
        """
        return Slot(lane, self._loop.create_future())

    def put(self, slot: Slot, image: UInt8Image) -> None:
        """Puts the image into its slot, once; from any thread.

        Args:
            slot: From `expect`.
            image: uint8 (height, width, channels), of the size the lane's engine takes.
        """
        with self._condition:
            if slot.abandoned:
                return
            refusal = self._refusal(slot.lane)
            if refusal is None:
                slot.image, slot.queued = image, perf_counter()
                self._schedule.add(slot)
                if self._schedule.turn() is not None:
                    self._condition.notify()
                return
        self._answer([(slot, refusal)])

    def fail(self, slot: Slot, error: BaseException) -> None:
        """Says why there will be no image; in place of `put`."""
        self._answer([(slot, error)])

    def withdraw(self, slot: Slot) -> None:
        """Gives up a slot that has no answer yet: its image is not embedded if that can be helped.

        The answer counts as cancelled from then on.
        """
        with self._condition:
            slot.abandoned = True
            if slot.image is None:
                where = "decode"
            else:
                where = "queue" if self._schedule.remove(slot) else "device"
        self._metrics.dropped(where)
        slot.answer.cancel()

    def condemn_if_stuck(self, seconds: float) -> None:
        """Declares a fault if the device has been at one call of an engine for so long."""
        with self._condition:
            batch = self._schedule.longest
            if batch is None:
                return
            busy = perf_counter() - batch.since
            if busy > seconds:
                model = batch.lane.model
                reason = f"the device has hung in model '{model}' ({busy:.0f} s in one call)"
                self._condemn(reason, batch.lane, self._generation)

    def condemn_if_ended(self, lanes: Iterable[Lane]) -> None:
        """Declares a fault if what computes for a lane has ended, before an image finds out."""
        with self._condition:
            generation = self._generation
            if self._fault is not None:
                return
        ended = _ended(lanes)
        if ended is not None:
            self._condemn_ended(ended, generation)

    def recover(self, lanes: Iterable[Lane] = ()) -> None:
        """Ends a fault: takes images again, on new threads.

        Args:
            lanes: Where what computes for one of them has ended, that is the next fault at once:
                nobody finds the batcher ready in between.

        Raises:
            RuntimeError: A thread cannot be started; the fault goes on.
        """
        ended = _ended(lanes)
        if ended is not None:
            self._condemn_ended(ended, self._generation)
            return
        with self._condition:
            # It may be that none can be started, at a limit on processes: then the fault stays.
            self._threads = self._start_threads()
            self._fault = None

    async def close(self, *, drain: bool = True) -> None:
        """Ends the threads.

        Args:
            drain: Whether images that wait are still embedded, or answered with `NotReady`.
        """
        with self._condition:
            self._closing = True
            given_up = [] if drain else self._schedule.clear()
            self._condition.notify_all()
        _resolve([(slot, NotReady(CLOSING)) for slot in given_up])
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

    def _run(self, generation: int, number: int) -> None:
        compute_in_long_slices()
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
                try:
                    self._serve(runner, batch, generation)
                except EngineGone as error:
                    _logger.warning("%s", error)
                    self._condemn_ended(batch.lane, generation)
                finally:
                    self._let_go(batch.lane)
        # Whatever ends the thread must be known to /readyz and to those who wait for an answer.
        except BaseException as error:
            _logger.exception("a device thread has died")
            with self._condition:
                at = self._schedule.at(number) if generation == self._generation else None
            reason = f"a device thread has died ({type(error).__name__})"
            self._condemn(reason, None if at is None else at.lane, generation)

    def _beat(self, generation: int, number: int) -> None:
        with self._condition:
            batch = self._schedule.at(number)
            if generation == self._generation and batch is not None:
                batch.since = perf_counter()

    def _take(self, generation: int, number: int) -> Batch | None:
        """Waits for work; None when closed and empty, or given up."""
        with self._condition:
            if generation == self._generation:
                self._schedule.done(number)
                self._metrics.device_load(self._schedule.load)
            while generation == self._generation and (lane := self._schedule.turn()) is None:
                if self._closing and not self._schedule.depth:
                    self._condition.notify_all()  # The others need not wait any longer either.
                    return None
                self._condition.wait()
            if generation != self._generation or lane is None:
                return None
            batch = self._schedule.take(lane, number)
            # While nobody can withdraw the images: until then they keep the engine open.
            lane.users.enter()
            self._metrics.device_load(self._schedule.load)
            if self._schedule.turn() is not None:
                self._condition.notify()
            return batch

    def _serve(self, runner: BatchRunner, batch: Batch, generation: int) -> None:
        lane, slots = batch.lane, batch.slots
        started = perf_counter()
        for slot in slots:
            self._metrics.stage("queue", started - slot.queued)
        images = [slot.image for slot in slots if slot.image is not None]
        outcomes = runner.run(lane, images, batch.lone_images)
        self._metrics.batch(lane.model, len(slots), perf_counter() - started)
        self._answer(list(zip(slots, outcomes, strict=True)))
        with self._condition:
            batch.slots = ()
        reason = runner.breakage(lane, images, outcomes)
        if reason is not None:
            self._condemn(reason, lane, generation)

    def _refusal(self, lane: Lane) -> NotReady | None:
        """Why no image is taken for a lane; None where one is."""
        if self._fault is not None:
            return _unready(self._fault)
        if self._closing:
            return NotReady(CLOSING)
        if lane.engine in self._given_up:
            return NotReady(
                f"the engine of model '{lane.model}' was replaced while this image was being "
                "decoded; send the request again"
            )
        return None

    def _condemn_ended(self, lane: Lane, generation: int) -> None:
        reason = f"the process that computes for model '{lane.model}' has ended"
        self._condemn(reason, lane, generation, gone=True)

    def _condemn(
        self, reason: str, lane: Lane | None, generation: int, *, gone: bool = False
    ) -> None:
        """Answers everything, and gives up the present threads and the lane's engine."""
        fault = Fault(reason, None if lane is None else lane.model, gone)
        with self._condition:
            if generation != self._generation:
                return
            self._generation += 1
            self._fault = fault
            if lane is not None:
                self._given_up.add(lane.engine)
            in_work, waiting = self._schedule.abandon(), self._schedule.clear()
            self._metrics.device_load(0.0)
            self._condition.notify_all()
        _logger.error("fault: %s", fault.reason)
        unready = _unready(fault)
        failed = EngineFailed(f"{fault.reason}, and this image was in work; try another model")
        # What was with other engines has nothing to do with it, and is worth sending again.
        at_fault = None if lane is None or gone else lane.engine
        outcomes = [(s, failed if s.lane.engine is at_fault else unready) for s in in_work]
        self._answer([*outcomes, *((s, unready) for s in waiting)])

    def _let_go(self, lane: Lane) -> None:
        # On the loop, as always: a device thread has better things to do, and must not die of it.
        if lane.users.leave() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lane.engine.close)

    def _answer(self, outcomes: list[_Outcome]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_resolve, outcomes)


def _join(threads: Sequence[Thread]) -> None:
    """Waits for all of them, for a while."""
    end = perf_counter() + _JOIN_SECONDS
    for thread in threads:
        thread.join(max(0.0, end - perf_counter()))


def _ended(lanes: Iterable[Lane]) -> Lane | None:
    return next((lane for lane in lanes if has_ended(lane.engine)), None)


def _unready(fault: Fault) -> NotReady:
    return NotReady(f"{fault.reason}; it is being mended, send the request again elsewhere")


def _resolve(outcomes: list[_Outcome]) -> None:
    for slot, outcome in outcomes:
        if slot.answer.done():
            continue  # Its request ended while it was on the device.
        if isinstance(outcome, BaseException):
            slot.answer.set_exception(outcome)
        else:
            slot.answer.set_result(outcome)
