"""One batch through an engine that may fail: every image gets its row or the reason why not."""

import logging
from collections.abc import Callable, MutableMapping, Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch

from app.inference.engines.base import Engine, HasRoom, ServesOneCaller, UInt8Batch
from app.inference.errors import EngineFailed, EngineGone
from app.inference.lane import Lane
from app.inference.rows import Row, Rows
from app.inference.traces import forget_traces
from app.observability.metrics import Metrics
from model_store.preprocessing import UInt8Image
from model_store.shortage import out_of_memory

_logger = logging.getLogger(__name__)

_SUSPICIOUS_BATCHES = 3
"""Batches in a row of which no image was embedded, after which the engine itself is tested."""


class BatchRunner:
    """Runs batches on one thread, with the failures of an engine contained.

    A batch that fails is tried again image by image, so that only those at fault fail. One that the
    device has no memory for is halved, and the engine is given no more than that from then on.

    Args:
        max_batch: Most images in a batch.
        limits: What each engine's batches were halved to; shared with other threads' runners.
        failed_batches: How many batches of each engine have failed in a row; shared likewise.
        before_call: Called before each call of an engine.
        metrics: Where failures go on record.
    """

    def __init__(
        self,
        *,
        max_batch: int,
        limits: MutableMapping[Engine, int],
        failed_batches: MutableMapping[Engine, int],
        before_call: Callable[[], None],
        metrics: Metrics,
    ) -> None:
        self._max_batch = max_batch
        self._limits = limits
        self._before_call = before_call
        self._metrics = metrics
        # One buffer for each shape of image, but for engines that have memory of their own.
        self._buffers: dict[tuple[int, ...], UInt8Batch] = {}
        self._rooms: WeakKeyDictionary[Engine, UInt8Batch] = WeakKeyDictionary()
        self._failed_batches = failed_batches

    def run(
        self, lane: Lane, images: Sequence[UInt8Image], lone_images: int = 0
    ) -> list[Row | EngineFailed]:
        """Embeds images that share a lane.

        Args:
            lane: Theirs.
            images: At least one, uint8 (height, width, channels), all of one shape.
            lone_images: All images of their caller if nobody else is about, else 0.

        Returns:
            For each image, in order, its row, which owns its memory, or why there is none.

        Raises:
            EngineGone: What computes has ended, of which no image is to blame.
        """
        most = self._limits.get(lane.engine, self._max_batch)
        if len(images) > most:
            return [*self.run(lane, images[:most]), *self.run(lane, images[most:])]
        try:
            rows = self._embed(lane, self._assemble(lane, images), lone_images)
        except EngineGone:
            raise
        except Exception as error:
            self._metrics.engine_failed(lane.model, "batch")
            if len(images) > 1 and out_of_memory(error):
                return self._halved(lane, images)
            _logger.exception("%s failed on a batch of %d", lane.model, len(images))
            if len(images) == 1:
                return [self._failure(lane, error)]
            return [self._alone(lane, image) for image in images]
        return [self._outcome(lane, rows, index) for index in range(len(images))]

    def breakage(
        self, lane: Lane, images: Sequence[UInt8Image], outcomes: Sequence[Row | EngineFailed]
    ) -> str | None:
        """Why the lane's engine must count as broken; None as long as it need not.

        Args:
            lane: Of a batch that was run.
            images: The batch.
            outcomes: What `run` gave for it.

        Raises:
            EngineGone: As `run`.
        """
        if not all(isinstance(outcome, EngineFailed) for outcome in outcomes):
            self._failed_batches.pop(lane.engine, None)
            return None
        count = self._failed_batches.pop(lane.engine, 0) + 1
        if count < _SUSPICIOUS_BATCHES:
            self._failed_batches[lane.engine] = count
            return None
        # Strangers choose the images. What fails on a plain grey one is the engine's own fault.
        grey = np.full((1, *images[0].shape), 127, np.uint8)
        try:
            rows = self._embed(lane, grey)
        except EngineGone:
            raise
        except Exception as error:
            _logger.exception("%s failed on a plain image", lane.model)
            return (
                f"the engine of model '{lane.model}' fails on every image ({type(error).__name__})"
            )
        if np.isfinite(rows.embeddings).all():
            return None
        return f"the engine of model '{lane.model}' gives no finite embeddings any more"

    def _halved(self, lane: Lane, images: Sequence[UInt8Image]) -> list[Row | EngineFailed]:
        half = (len(images) + 1) // 2
        self._limits[lane.engine] = half
        _logger.warning(
            "the device has no memory for %d images of %s at once; it gets at most %d from now on",
            len(images),
            lane.model,
            half,
        )
        if lane.engine.device.startswith("cuda"):
            torch.cuda.empty_cache()
        return self.run(lane, images)

    def _alone(self, lane: Lane, image: UInt8Image) -> Row | EngineFailed:
        try:
            return self._outcome(lane, self._embed(lane, image[None]), 0)
        except EngineGone:
            raise
        except Exception as error:
            _logger.exception("%s failed on one image alone", lane.model)
            return self._failure(lane, error)

    def _embed(self, lane: Lane, images: UInt8Batch, lone_images: int = 0) -> Rows:
        self._before_call()
        engine = lane.engine
        # Afterwards the network would have driven them out of the processor's caches.
        seen = lane.look(images)
        if lone_images and isinstance(engine, ServesOneCaller):
            features = engine.features_for_one(images, lane.side, lone_images)
        else:
            features = engine.features(images, lane.side)
        if features.shape != (len(images), lane.dimension):
            raise EngineFailed(
                f"the engine gave an array of shape {features.shape} for {len(images)} image(s) of "
                f"{lane.dimension} values each"
            )
        return lane.finish(features, seen)

    def _outcome(self, lane: Lane, rows: Rows, index: int) -> Row | EngineFailed:
        if np.isfinite(rows.embeddings[index]).all():
            return rows.copy_of(index)
        self._metrics.engine_failed(lane.model, "image")
        return EngineFailed(
            f"model '{lane.model}' gives no finite embedding for this image; try another model"
        )

    def _failure(self, lane: Lane, error: Exception) -> EngineFailed:
        self._metrics.engine_failed(lane.model, "image")
        failure = EngineFailed(
            f"model '{lane.model}' failed on this image; try again, or another model"
        )
        # The log has its trace. That leads to the batch's answers, of which this is one.
        forget_traces(error)
        failure.__cause__ = error
        return failure

    def _assemble(self, lane: Lane, images: Sequence[UInt8Image]) -> UInt8Batch:
        if len(images) == 1:
            return images[0][None]
        return np.stack(images, out=self._room(lane.engine, images[0].shape)[: len(images)])

    def _room(self, engine: Engine, shape: tuple[int, ...]) -> UInt8Batch:
        if isinstance(engine, HasRoom):
            if engine not in self._rooms:
                self._rooms[engine] = engine.room(self._max_batch)
            return self._rooms[engine]
        if shape not in self._buffers:
            self._buffers[shape] = np.empty((self._max_batch, *shape), np.uint8)
        return self._buffers[shape]
