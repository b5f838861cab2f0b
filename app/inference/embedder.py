"""From encoded images to embeddings: cache, admission, decoding, device."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from app.inference.admission import Admission
from app.inference.batcher import Batcher
from app.inference.cache import EmbeddingCache, Key, cache_key
from app.inference.catalogue import LoadedModel
from app.inference.decode import Decoder
from app.inference.errors import TooManyBytes
from app.inference.repeats import Repeats
from app.inference.rows import Row, Rows
from app.observability.metrics import Metrics
from model_store.errors import ImageError
from model_store.network import Side


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image as it came.

    Attributes:
        label: What messages call it: the field it came in.
        data: Its bytes.
        side: The side of a comparison it is on.
    """

    label: str
    data: bytes
    side: Side = Side.LEFT


@dataclass(eq=False, slots=True)
class _Flight:
    """An embedding in work, and how many wait for it."""

    task: asyncio.Task[Row]
    key: Key | None
    waiters: int = 0


class Embedder:
    """Embeds each image once. Used on one event loop.

    Args:
        admission: Bounds what is in work.
        cache: Remembers what was done.
        repeats: Is told of images that are asked for again, and of new ones.
        decoder: From bytes to the network's size.
        batcher: From there to embeddings.
        max_image_bytes: An encoded image that has more is refused.
        metrics: Where hits and misses go on record.
    """

    def __init__(
        self,
        *,
        admission: Admission,
        cache: EmbeddingCache,
        repeats: Repeats,
        decoder: Decoder,
        batcher: Batcher,
        max_image_bytes: int,
        metrics: Metrics,
    ) -> None:
        self._admission = admission
        self._cache = cache
        self._repeats = repeats
        self._decoder = decoder
        self._batcher = batcher
        self._max_image_bytes = max_image_bytes
        self._metrics = metrics
        self._flights: dict[Key, _Flight] = {}

    async def embed(self, model: LoadedModel, images: Sequence[EncodedImage]) -> Rows:
        """What the model makes of images, in order.

        Raises:
            ImageError: An image cannot be used; the message begins with its label.
            TooManyBytes: An image has too many bytes.
            QueueFull: There is no room for all of them.
            EngineFailed: The engine failed on one of them.
        """
        for image in images:
            if len(image.data) > self._max_image_bytes:
                raise TooManyBytes(
                    f"{image.label}: the image has {len(image.data):,} bytes, over the limit of "
                    f"{self._max_image_bytes:,}; send a smaller one"
                )
        rows: list[Row | None] = [None] * len(images)
        flights = self._start(model, images, rows)
        try:
            if flights:
                tasks = {flight.task for flight in flights.values()}
                await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
                for index in sorted(flights, key=lambda i: not _failed(flights[i].task)):
                    rows[index] = _result(flights[index].task, images[index].label)
        finally:
            for flight in flights.values():
                self._leave(flight)
        return _gathered(model, [row for row in rows if row is not None])

    def _start(
        self, model: LoadedModel, images: Sequence[EncodedImage], rows: list[Row | None]
    ) -> dict[int, _Flight]:
        """Fills in the rows that the cache has; a flight for each of the others, by index."""
        keys: list[Key | None] = [None] * len(images)
        if self._cache.enabled:
            for index, image in enumerate(images):
                side = model.lane(image.side).side
                keys[index] = cache_key(image.data, f"{model.identity}/{side}")
        missing: list[int] = []
        new: set[Key] = set()
        unshared = 0
        for index, key in enumerate(keys):
            row = self._cache.get(key) if key is not None else None
            self._repeats.saw(known=row is not None or key in self._flights)
            if row is not None:
                self._metrics.cache_lookup("hit")
                rows[index] = row
                continue
            missing.append(index)
            if key is None:
                unshared += 1
            elif key not in self._flights:
                new.add(key)
        self._admission.acquire(len(new) + unshared)
        flights = {index: self._flight(model, images[index], keys[index]) for index in missing}
        for flight in flights.values():
            flight.waiters += 1
        return flights

    def _flight(self, model: LoadedModel, image: EncodedImage, key: Key | None) -> _Flight:
        known = self._flights.get(key) if key is not None else None
        if known is not None:
            self._metrics.cache_lookup("joined")
            return known
        flight = _Flight(asyncio.create_task(self._compute(model, image, key)), key)
        if key is not None:
            self._metrics.cache_lookup("miss")
            self._flights[key] = flight
        flight.task.add_done_callback(lambda _: self._land(flight))
        return flight

    def _leave(self, flight: _Flight) -> None:
        """One waiter fewer; without any, the work is given up, and nobody may join it any more."""
        flight.waiters -= 1
        if not flight.waiters and not flight.task.done():
            self._forget(flight)
            flight.task.cancel()

    def _land(self, flight: _Flight) -> None:
        self._admission.release()
        self._forget(flight)
        # Marks an exception as seen: where all waiters have left, nobody else asks for it.
        _failed(flight.task)

    def _forget(self, flight: _Flight) -> None:
        if flight.key is not None and self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    async def _compute(self, model: LoadedModel, image: EncodedImage, key: Key | None) -> Row:
        with model.used():
            # The loop's next turn tells of a client that sent everything and left at once.
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self._metrics.dropped("decode")
                raise
            slot = self._batcher.expect(model.lane(image.side))
            decoding = self._decoder.start(
                image.data,
                model.manifest.preprocessing,
                done=partial(self._batcher.put, slot),
                failed=partial(self._batcher.fail, slot),
            )
            try:
                row = await self._batcher.row(slot)
            finally:
                decoding.cancel()
        if key is not None:
            self._cache.put(key, row)
        return row


def _gathered(model: LoadedModel, rows: Sequence[Row]) -> Rows:
    embeddings = np.empty((len(rows), model.manifest.dimension), np.float32)
    for index, row in enumerate(rows):
        embeddings[index] = row.embedding
    known = [row.typicality for row in rows if row.typicality is not None]
    return Rows(embeddings, np.array(known) if len(known) == len(rows) else None)


def _failed(task: asyncio.Task[Row]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _result(task: asyncio.Task[Row], label: str) -> Row:
    try:
        return task.result()
    except ImageError as error:
        raise type(error)(f"{label}: {error}") from error
