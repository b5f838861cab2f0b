"""Single images in, batches to the device, each image's embedding back out."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Condition, Thread
from time import perf_counter

import numpy as np
import numpy.typing as npt

from app.inference.engines.base import Embeddings, Engine, Features, UInt8Batch
from app.inference.errors import EngineFailed, NotReady
from app.observability.metrics import Metrics
from model_store.network import Side
from model_store.preprocessing import UInt8Image

Row = npt.NDArray[np.float32]

_logger = logging.getLogger(__name__)

# A device thread that hangs is a daemon; the process can end without it.
_JOIN_SECONDS = 30.0


@dataclass(frozen=True, eq=False)
class Lane:
    """What images must have in common to share a batch: one engine and one side.

    Attributes:
        model: For metrics and messages.
        engine: What embeds them.
        side: Which side they are on.
        dimension: Values that an embedding must have.
        finish: From features to embeddings, row by row.
    """

    model: str
    engine: Engine
    side: Side
    dimension: int
    finish: Callable[[Features], Embeddings]


@dataclass(eq=False, slots=True)
class _Item:
    image: UInt8Image
    answer: asyncio.Future[Row]
    queued: float = field(default_factory=perf_counter)


_Outcome = tuple[_Item, Row | Exception]


class Batcher:
    """One queue a lane, one thread for the device.

    The thread takes a batch whenever the device is idle and anything waits: a lone image goes at
    once, and those that arrive while the device is busy form the next batch. Lanes take turns, so
    that a busy model does not starve the others. An image whose request is cancelled leaves the
    queue. Every image gets exactly one answer.

    Made, used and closed on one event loop.

    Args:
        max_batch: Most images in a batch.
        metrics: Where sizes, times and failures go on record.
    """

    def __init__(self, *, max_batch: int, metrics: Metrics) -> None:
        self._loop = asyncio.get_running_loop()
        self._max_batch = max_batch
        self._metrics = metrics
        self._condition = Condition()
        # Guarded by the condition. A lane is a key exactly while images of it wait; the order of
        # the keys is the order of the turns.
        self._waiting: dict[Lane, deque[_Item]] = {}
        self._in_work: Sequence[_Item] = ()
        self._busy_since: float | None = None
        self._closing = False
        self._failure: str | None = None
        # Only the device thread uses these: one buffer for each shape of image.
        self._buffers: dict[tuple[int, ...], UInt8Batch] = {}
        self._thread = Thread(target=self._run, name="twinlens-device", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> str | None:
        """Why the device thread is dead, or None while it lives."""
        return self._failure

    @property
    def depth(self) -> int:
        """Images that wait for the device."""
        with self._condition:
            return sum(map(len, self._waiting.values()))

    @property
    def busy_seconds(self) -> float:
        """How long the device has been at its present batch; 0 while it is idle."""
        since = self._busy_since
        return 0.0 if since is None else perf_counter() - since

    async def submit(self, lane: Lane, image: UInt8Image) -> Row:
        """One image's embedding.

        Args:
            lane: Whose engine embeds it.
            image: uint8 (height, width, channels), of the size the engine takes.

        Returns:
            float32 (dimension,), which owns its memory.

        Raises:
            EngineFailed: The engine failed on this very image, or the device thread is dead.
            NotReady: The batcher is closed.
        """
        item = _Item(image, self._loop.create_future())
        with self._condition:
            if self._failure is not None:
                raise EngineFailed(self._failure)
            if self._closing:
                raise NotReady("the service is shutting down; send the request again elsewhere")
            self._waiting.setdefault(lane, deque()).append(item)
            self._condition.notify()
        try:
            return await item.answer
        except asyncio.CancelledError:
            self._withdraw(lane, item)
            raise

    async def close(self, *, drain: bool = True) -> None:
        """Ends the device thread.

        Args:
            drain: Whether images that wait are still embedded, or answered with `NotReady`.
        """
        with self._condition:
            self._closing = True
            given_up = [] if drain else self._empty()
            self._condition.notify()
        error = NotReady("the service is shutting down; send the request again elsewhere")
        _resolve([(item, error) for item in given_up])
        await asyncio.to_thread(self._thread.join, _JOIN_SECONDS)

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

    def _run(self) -> None:
        try:
            while (taken := self._take()) is not None:
                self._serve(*taken)
        # Whatever ends the thread must be known to /readyz and to those who wait for an answer.
        except BaseException as error:
            _logger.exception("the device thread has died")
            self._die(f"the device thread has died ({error!r}); restart the service")

    def _take(self) -> tuple[Lane, list[_Item]] | None:
        """Waits for work; None when closed and empty."""
        with self._condition:
            self._in_work = ()
            self._busy_since = None
            while not self._waiting:
                if self._closing:
                    return None
                self._condition.wait()
            lane = next(iter(self._waiting))
            queue = self._waiting.pop(lane)
            items = [queue.popleft() for _ in range(min(len(queue), self._max_batch))]
            if queue:
                self._waiting[lane] = queue
            self._in_work = items
            self._busy_since = perf_counter()
            return lane, items

    def _serve(self, lane: Lane, items: list[_Item]) -> None:
        started = perf_counter()
        for item in items:
            self._metrics.stage("queue", started - item.queued)
        try:
            rows = _embedded(lane, self._assemble(items))
        except Exception as error:
            _logger.exception("%s failed on a batch of %d", lane.model, len(items))
            outcomes = self._serve_singly(lane, items, error)
        else:
            outcomes = [
                self._outcome(lane, item, row) for item, row in zip(items, rows, strict=True)
            ]
        self._metrics.batch(lane.model, len(items), perf_counter() - started)
        self._answer(outcomes)

    def _serve_singly(self, lane: Lane, items: list[_Item], error: Exception) -> list[_Outcome]:
        """After a failed batch: each image alone, so that only the one at fault fails."""
        self._metrics.engine_failed(lane.model, "batch")
        if len(items) == 1:
            self._metrics.engine_failed(lane.model, "image")
            return [(items[0], _failure(lane, error))]
        outcomes: list[_Outcome] = []
        for item in items:
            try:
                row = _embedded(lane, item.image[None])[0]
            except Exception as alone:
                _logger.exception("%s failed on one image alone", lane.model)
                self._metrics.engine_failed(lane.model, "image")
                outcomes.append((item, _failure(lane, alone)))
            else:
                outcomes.append(self._outcome(lane, item, row))
        return outcomes

    def _outcome(self, lane: Lane, item: _Item, row: Row) -> _Outcome:
        if np.isfinite(row).all():
            return item, row.copy()
        self._metrics.engine_failed(lane.model, "image")
        return item, EngineFailed(
            f"model '{lane.model}' gives no finite embedding for this image; try another model"
        )

    def _assemble(self, items: list[_Item]) -> UInt8Batch:
        if len(items) == 1:
            return items[0].image[None]
        shape = items[0].image.shape
        buffer = self._buffers.get(shape)
        if buffer is None:
            buffer = np.empty((self._max_batch, *shape), np.uint8)
            self._buffers[shape] = buffer
        return np.stack([item.image for item in items], out=buffer[: len(items)])

    def _answer(self, outcomes: list[_Outcome]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_resolve, outcomes)

    def _die(self, reason: str) -> None:
        with self._condition:
            self._failure = reason
            items = [*self._in_work, *self._empty()]
        self._answer([(item, EngineFailed(reason)) for item in items])


def _embedded(lane: Lane, images: UInt8Batch) -> Embeddings:
    features = lane.engine.features(images, lane.side)
    if features.shape != (len(images), lane.dimension):
        raise EngineFailed(
            f"the engine gave an array of shape {features.shape} for {len(images)} image(s) of "
            f"{lane.dimension} values each"
        )
    return lane.finish(features)


def _failure(lane: Lane, error: Exception) -> EngineFailed:
    failure = EngineFailed(
        f"model '{lane.model}' failed on this image; try again, or another model"
    )
    failure.__cause__ = error
    return failure


def _resolve(outcomes: list[_Outcome]) -> None:
    for item, outcome in outcomes:
        if item.answer.done():
            continue  # Its request ended while it was on the device.
        if isinstance(outcome, Exception):
            item.answer.set_exception(outcome)
        else:
            item.answer.set_result(outcome)
