"""From encoded images to embeddings: cache, admission, decoding, device."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from app.inference.admission import Admission
from app.inference.batcher import Batcher
from app.inference.cache import EmbeddingCache, Key, cache_key
from app.inference.callers import Callers
from app.inference.catalogue import LoadedModel
from app.inference.decode import Decoder, Decoding
from app.inference.errors import TooManyBytes
from app.inference.repeats import Repeats
from app.inference.rows import Row, Rows
from app.inference.schedule import Slot
from app.inference.threads import for_each
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

    image: EncodedImage
    slot: Slot
    key: Key | None
    waiters: int = 0
    decoding: Decoding | None = None

    @property
    def answer(self) -> asyncio.Future[Row]:
        return self.slot.answer


class Embedder:
    """Embeds each image once. Used on one event loop.

    Args:
        admission: Bounds what is in work.
        cache: Remembers what was done.
        repeats: Is told of images that are asked for again, and of new ones.
        decoder: From bytes to the network's size.
        batcher: From there to embeddings.
        callers: Is told of who waits; the batcher asks it.
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
        callers: Callers,
        max_image_bytes: int,
        metrics: Metrics,
    ) -> None:
        self._admission = admission
        self._cache = cache
        self._repeats = repeats
        self._decoder = decoder
        self._batcher = batcher
        self._callers = callers
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
            check_size(image.label, len(image.data), self._max_image_bytes)
        rows: list[Row | None] = [None] * len(images)
        keys = await self._keys(model, images)
        flights = self._start(model, images, keys, rows)
        if flights:
            # An image that is given twice is computed once.
            answers = {flight.answer for flight in flights.values()}
            self._callers.enter(len(answers))
            try:
                # The loop's next turn tells of a client that sent everything and left at once.
                await asyncio.sleep(0)
                for flight in flights.values():
                    self._decode(model, flight)
                await asyncio.wait(answers, return_when=asyncio.FIRST_EXCEPTION)
                for index in sorted(flights, key=lambda i: not _failed(flights[i].answer)):
                    rows[index] = _result(flights[index].answer, images[index].label)
            finally:
                self._callers.leave(len(answers))
                for flight in flights.values():
                    self._leave(flight)
                # The trace of what an answer raised leads here. If something here led back to the
                # answer, the request would stay until the garbage collector comes upon it.
                flights.clear()
                answers.clear()
                del flight
        return _gathered(model, [row for row in rows if row is not None])

    async def _keys(
        self, model: LoadedModel, images: Sequence[EncodedImage]
    ) -> Sequence[Key | None]:
        """What the cache knows each image by; nothing where it keeps none."""
        if not self._cache.enabled:
            return [None] * len(images)

        def key(index: int) -> Key:
            image = images[index]
            return cache_key(image.data, model.remembered_as(image.side))

        return await for_each(key, [len(image.data) for image in images])

    def _start(
        self,
        model: LoadedModel,
        images: Sequence[EncodedImage],
        keys: Sequence[Key | None],
        rows: list[Row | None],
    ) -> dict[int, _Flight]:
        """Fills in the rows that the cache has; a flight for each of the others, by index."""
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
        lane = model.lane(image.side)
        # Whoever begins it may leave before others who join it from the same weights, loaded anew:
        # those keep another engine open.
        lane.users.enter()
        flight = _Flight(image, self._batcher.expect(lane), key)
        if key is not None:
            self._metrics.cache_lookup("miss")
            self._flights[key] = flight
        flight.answer.add_done_callback(lambda _: self._land(flight))
        return flight

    def _decode(self, model: LoadedModel, flight: _Flight) -> None:
        """Has the image decoded, unless somebody else who waits for it has done so already."""
        if flight.decoding is None and not flight.answer.done():
            flight.decoding = self._decoder.start(
                flight.image.data,
                model.manifest.preprocessing,
                done=partial(self._batcher.put, flight.slot),
                failed=partial(self._batcher.fail, flight.slot),
            )

    def _leave(self, flight: _Flight) -> None:
        """One waiter fewer; without any, the work is given up, and nobody may join it any more."""
        flight.waiters -= 1
        if not flight.waiters and not flight.answer.done():
            self._forget(flight)
            self._batcher.withdraw(flight.slot)

    def _land(self, flight: _Flight) -> None:
        self._admission.release()
        if flight.slot.lane.users.leave():
            flight.slot.lane.engine.close()
        self._forget(flight)
        if flight.decoding is not None:
            flight.decoding.cancel()
        # Asking also marks an exception as seen: where all waiters have left, nobody else does.
        if not _failed(flight.answer) and flight.key is not None:
            self._cache.put(flight.key, flight.answer.result())

    def _forget(self, flight: _Flight) -> None:
        if flight.key is not None and self._flights.get(flight.key) is flight:
            del self._flights[flight.key]


def check_size(label: str, size: int, limit: int) -> None:
    """Refuses an encoded image over a limit.

    Args:
        label: What the message calls it.
        size: Its bytes.
        limit: Most that it may have.

    Raises:
        TooManyBytes: It has more.
    """
    if size > limit:
        raise TooManyBytes(
            f"{label}: the image has {size:,} bytes, over the limit of {limit:,}; send a smaller "
            "one"
        )


def _gathered(model: LoadedModel, rows: Sequence[Row]) -> Rows:
    embeddings = np.empty((len(rows), model.manifest.dimension), np.float32)
    for index, row in enumerate(rows):
        embeddings[index] = row.embedding
    known = [row.typicality for row in rows if row.typicality is not None]
    return Rows(embeddings, np.array(known) if len(known) == len(rows) else None)


def _failed(answer: asyncio.Future[Row]) -> bool:
    return answer.done() and (answer.cancelled() or answer.exception() is not None)


def _result(answer: asyncio.Future[Row], label: str) -> Row:
    try:
        return answer.result()
    except ImageError as error:
        raise type(error)(f"{label}: {error}") from error
    finally:
        # The answer has the error, whose trace has this frame.
        del answer
