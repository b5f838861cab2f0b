"""Everything put together, and whether it is ready."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import torch

from app.inference.admission import Admission
from app.inference.batcher import Batcher
from app.inference.cache import EmbeddingCache
from app.inference.callers import Callers
from app.inference.catalogue import Catalogue
from app.inference.compare import Inference
from app.inference.decode import Decoder
from app.inference.device.client import RemoteEngines
from app.inference.embedder import Embedder
from app.inference.engines import Engine, calls_at_once, choose_device, engine_maker, largest_batch
from app.inference.errors import CLOSING, InferenceError, NotReady, QueueFull
from app.inference.library import Library
from app.inference.loader import Loader, MakeEngine
from app.inference.repeats import Repeats
from app.inference.supervisor import Supervisor
from app.observability.metrics import Metrics
from app.observability.shared import Shared
from app.settings import Settings
from model_store import Checkpoint
from model_store.cpus import available_cpus
from model_store.network import Side
from model_store.reader import StoreReader


class Service:
    """A running service, without HTTP. Made, used and closed on one event loop.

    Args:
        settings: As the environment gives them.
        metrics: Where everything goes on record.
        device_socket: Where the process listens that computes for this one; None to compute here.

    Attributes:
        inference: What can be asked.
        admission: What is accepted and unanswered.
        settings: As given.
        metrics: As given.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, *, device_socket: Path | None = None
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self._exposition = Shared(lambda: asyncio.to_thread(self.metrics.exposition))
        self._draining = False
        self._computes_here = device_socket is None
        self._device = choose_device(settings.device)
        max_batch = largest_batch(settings.max_batch, self._device)
        self._library = Library(
            Loader(
                StoreReader(settings.model_store),
                default=settings.default_model,
                make=_engines(settings, self._device, device_socket),
                max_batch=max_batch,
                metrics=metrics,
            ),
            root=settings.model_store,
            poll_seconds=settings.store_poll_seconds,
            metrics=metrics,
        )
        self._decoder = Decoder(
            threads=settings.decode_threads or available_cpus(),
            max_pixels=settings.max_pixels,
            metrics=metrics,
        )
        callers = Callers()
        self._batcher = Batcher(
            max_batch=max_batch,
            threads=calls_at_once(self._device, settings.compute_threads),
            callers=callers,
            metrics=metrics,
        )
        self._supervisor = Supervisor(
            self._batcher,
            self._decoder,
            rebuild=self._library.rebuild,
            lanes=lambda: [
                model.lane(Side.LEFT) for model in self._library.catalogue.models.values()
            ],
            watchdog_seconds=settings.watchdog_seconds,
            metrics=metrics,
        )
        self._supervising: asyncio.Task[None] | None = None
        self.admission = Admission(settings.queue_images, settings.queue_bytes)
        self._repeats = Repeats()
        cache = EmbeddingCache(settings.cache_bytes)
        self.inference = Inference(
            catalogue=lambda: self._library.catalogue,
            embedder=Embedder(
                admission=self.admission,
                cache=cache,
                repeats=self._repeats,
                decoder=self._decoder,
                batcher=self._batcher,
                callers=callers,
                max_image_bytes=settings.max_image_bytes,
                metrics=metrics,
            ),
            max_images=settings.max_images,
            metrics=metrics,
        )
        self._watch(cache)

    @property
    def catalogue(self) -> Catalogue:
        """What is loaded now."""
        return self._library.catalogue

    def start(self) -> None:
        """Begins to load models, in the background."""
        self._library.start()
        self._supervising = asyncio.create_task(self._supervisor.watch())

    async def first_look(self) -> None:
        """Waits until the store has been looked through once, whatever was found."""
        await self._library.first_look()

    async def look(self) -> Catalogue:
        """Looks through the store now, and serves what is found.

        Raises:
            NotReady: The service has not begun to load models, or is about to end.
        """
        if self._draining:
            raise NotReady(CLOSING)
        return await self._library.look()

    async def close(self) -> None:
        """Answers what is still waiting and ends every thread."""
        self._draining = True
        if self._supervising is not None:
            self._supervising.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervising
        await self._library.close()
        self._decoder.close()
        await self._batcher.close(drain=False)
        if self._batcher.fault is None:
            for model in self.catalogue.models.values():
                model.retire()

    def drain(self) -> None:
        """Says unready from now on; what is accepted is still answered."""
        self._draining = True

    @property
    def draining(self) -> bool:
        """Whether requests should be sent elsewhere for good."""
        return self._draining

    @property
    def failure(self) -> str | None:
        """Why the process must be started anew; None as long as it need not."""
        return self._supervisor.failure or self._library.failure

    def turn_away(self) -> None:
        """Refuses a request for images before it is read, where reading it would be wasted.

        Raises:
            QueueFull: There is no room for an image, and nothing is kept of earlier ones, or they
                hardly ever come again.
        """
        if self.hindrance() is not None:
            return  # Said once the request is read, with a reason of its own.
        try:
            self.admission.check(1)
        except QueueFull:
            if self.settings.cache_bytes and self._repeats.worth_reading():
                return
            raise

    def unready_reason(self) -> str | None:
        """Why no request should be sent here now; None when one may be.

        Those that come all the same are answered as far as they can be: `hindrance`.
        """
        return self.hindrance() or self._library.missing_default()

    async def exposition(self) -> bytes:
        """All that this process has measured, in Prometheus' text format.

        Of many models it takes long. It is made in a thread, and once for all who ask meanwhile.
        """
        return await self._exposition.get()

    def hindrance(self) -> str | None:
        """Why no request can be answered now; None where one for some model can be."""
        if self._draining:
            return "the service is shutting down; send requests elsewhere"
        if self.failure is not None:
            return self.failure
        # The thread that makes an exposition asks too, while the fault may be mended.
        fault = self._batcher.fault
        if fault is not None:
            return f"{fault.reason}; it is being mended"
        return self._library.hindrance()

    def _watch(self, cache: EmbeddingCache) -> None:
        watch = self.metrics.watch
        watch(
            "twinlens_queue_images",
            "Images accepted and unanswered.",
            lambda: self.admission.outstanding,
        )
        watch(
            "twinlens_queue_bytes",
            "Bytes of request bodies being read or in work, and of their answers not yet sent.",
            lambda: self.admission.held_bytes,
        )
        watch(
            "twinlens_device_queue_images",
            "Images waiting for the device.",
            lambda: self._batcher.depth,
        )
        self.metrics.watch_models(
            "twinlens_batch_limit_images",
            "Most images in a batch of a model, after the device had no memory for more; absent "
            "as long as that has not happened.",
            self._batch_limits,
        )
        self.metrics.watch_models(
            "twinlens_versions_refused",
            "Versions of a model that would answer now if they could be loaded.",
            self._versions_refused,
        )
        if self._device != "cpu" and self._computes_here:
            watch(
                "twinlens_device_memory_bytes",
                "Memory of the device that PyTorch holds.",
                lambda: float(torch.cuda.memory_reserved(self._device)),
            )
        watch("twinlens_cache_bytes", "Memory of the embedding cache.", lambda: cache.bytes)
        watch("twinlens_cache_entries", "Embeddings in the cache.", lambda: len(cache))
        watch(
            "twinlens_ready",
            "1 while /readyz says ready, else 0.",
            lambda: float(self.unready_reason() is None),
        )

    def _versions_refused(self) -> dict[str, int]:
        return self.catalogue.refused_now()

    def _batch_limits(self) -> dict[str, float]:
        """Of the engines that serve now: a new one starts without."""
        limits = {
            name: self._batcher.limit(model.engine) for name, model in self.catalogue.models.items()
        }
        return {name: limit for name, limit in limits.items() if limit is not None}


def _engines(settings: Settings, device: str, socket: Path | None) -> MakeEngine:
    if socket is None:
        return engine_maker(settings, device)
    remote = RemoteEngines(socket)

    def make(checkpoint: Checkpoint) -> Engine:
        return remote.make(checkpoint.manifest)

    return make


@contextlib.asynccontextmanager
async def running(
    settings: Settings, metrics: Metrics | None = None, *, device_socket: Path | None = None
) -> AsyncIterator[Service]:
    """A service for use from Python alone, its models loaded.

    Raises:
        InferenceError: No model could be loaded.
    """
    service = Service(settings, metrics or Metrics(), device_socket=device_socket)
    try:
        service.start()
        await service.first_look()
        reason = service.hindrance()
        if reason is not None:
            raise InferenceError(reason)
        yield service
    finally:
        await service.close()
