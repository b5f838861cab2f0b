"""Everything put together: loads models, keeps them up to date, says whether it is ready."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from app.inference.admission import Admission
from app.inference.batcher import Batcher
from app.inference.cache import EmbeddingCache
from app.inference.catalogue import Catalogue, LoadedModel
from app.inference.compare import Inference
from app.inference.decode import Decoder
from app.inference.embedder import Embedder
from app.inference.engines import calls_at_once, choose_device
from app.inference.errors import InferenceError, NotReady, QueueFull
from app.inference.loader import Loader
from app.inference.repeats import Repeats
from app.inference.supervisor import Supervisor
from app.observability.logs import fields
from app.observability.metrics import Metrics
from app.settings import Settings
from model_store import ModelStore
from model_store.cpus import available_cpus
from model_store.errors import StoreError

_logger = logging.getLogger(__name__)

_MAX_BATCH_CPU = 8
_MAX_BATCH_CUDA = 64


class Service:
    """A running service, without HTTP. Made, used and closed on one event loop.

    Args:
        settings: As the environment gives them.
        metrics: Where everything goes on record.

    Attributes:
        inference: What can be asked.
        admission: What is accepted and unanswered.
        settings: As given.
        metrics: As given.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self._catalogue = Catalogue()
        self._first_look = asyncio.Event()
        self._draining = False
        self._loading_failure: str | None = None
        self._device = choose_device(settings.device)
        self._max_batch = settings.max_batch or (
            max(_MAX_BATCH_CPU, available_cpus()) if self._device == "cpu" else _MAX_BATCH_CUDA
        )
        self._decoder = Decoder(
            threads=settings.decode_threads or available_cpus(),
            max_pixels=settings.max_pixels,
            metrics=metrics,
        )
        self._batcher = Batcher(
            max_batch=self._max_batch,
            threads=calls_at_once(self._device, settings.compute_threads),
            metrics=metrics,
        )
        self._supervisor = Supervisor(
            self._batcher,
            rebuild=self._rebuild,
            watchdog_seconds=settings.watchdog_seconds,
            metrics=metrics,
        )
        self._supervising: asyncio.Task[None] | None = None
        self.admission = Admission(settings.queue_images, settings.queue_bytes)
        self._repeats = Repeats()
        cache = EmbeddingCache(settings.cache_bytes)
        self.inference = Inference(
            catalogue=lambda: self._catalogue,
            embedder=Embedder(
                admission=self.admission,
                cache=cache,
                repeats=self._repeats,
                decoder=self._decoder,
                batcher=self._batcher,
                max_image_bytes=settings.max_image_bytes,
                metrics=metrics,
            ),
            max_images=settings.max_images,
            metrics=metrics,
        )
        self._loading_thread = ThreadPoolExecutor(1, "twinlens-load")
        self._loading: asyncio.Task[None] | None = None
        self._loader: Loader | None = None
        # Whoever makes a catalogue from the present one must be alone until it is in place.
        self._changing = asyncio.Lock()
        self._watch(cache)

    @property
    def catalogue(self) -> Catalogue:
        """What is loaded now."""
        return self._catalogue

    def start(self) -> None:
        """Begins to load models, in the background."""
        self._loader = Loader(
            ModelStore(self.settings.model_store),
            default=self.settings.default_model,
            engine=self.settings.engine,
            precision=self.settings.precision,
            cache=self.settings.engine_cache,
            device=self._device,
            threads=self.settings.compute_threads,
            max_batch=self._max_batch,
            metrics=self.metrics,
        )
        self._loading = asyncio.create_task(self._keep_up_to_date(self._loader))
        self._supervising = asyncio.create_task(self._supervisor.watch())

    async def first_look(self) -> None:
        """Waits until the store has been looked through once, whatever was found."""
        await self._first_look.wait()

    async def look(self) -> Catalogue:
        """Looks through the store now, and serves what is found.

        Raises:
            NotReady: The service has not begun to load models, or is about to end.
        """
        if self._loader is None or self._draining:
            raise NotReady("the service is not running; send the request again elsewhere")
        return await self._change(self._loader.update)

    async def close(self) -> None:
        """Answers what is still waiting and ends every thread."""
        self._draining = True
        for task in (self._supervising, self._loading):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._loading_thread.shutdown(wait=False, cancel_futures=True)
        self._decoder.close()
        await self._batcher.close(drain=False)
        if self._batcher.fault is None:
            for model in self._catalogue.models.values():
                model.retire()

    def drain(self) -> None:
        """Says unready from now on; what is accepted is still answered."""
        self._draining = True

    @property
    def failure(self) -> str | None:
        """Why the process must be started anew; None as long as it need not."""
        return self._supervisor.failure

    def turn_away(self) -> None:
        """Refuses a request for images before it is read, where reading it would be wasted.

        Raises:
            QueueFull: There is no room for an image, and nothing is kept of earlier ones, or they
                hardly ever come again.
        """
        if self.unready_reason() is not None:
            return  # Said once the request is read, with a reason of its own.
        try:
            self.admission.check(1)
        except QueueFull:
            if self.settings.cache_bytes and self._repeats.worth_reading():
                return
            raise

    def unready_reason(self) -> str | None:
        """Why no request should be sent here now; None when one may be."""
        if self._draining:
            return "the service is shutting down; send requests elsewhere"
        if self.failure is not None:
            return self.failure
        if self._batcher.fault is not None:
            return f"{self._batcher.fault.reason}; it is being mended"
        if not self._first_look.is_set():
            return "models are being loaded; ask again in a few seconds"
        if not self._catalogue.models:
            if self._loading_failure is not None:
                return self._loading_failure
            refused = "; ".join(
                f"{refusal.name} version {refusal.version}: {refusal.error}"
                for refusal in self._catalogue.refused
            )
            return (
                f"no model could be loaded ({refused})"
                if refused
                else f"the store {self.settings.model_store} holds no model; import one (python -m "
                "model_store import photos) or train one (python -m training fit)"
            )
        return None

    def _watch(self, cache: EmbeddingCache) -> None:
        watch = self.metrics.watch
        watch(
            "twinlens_queue_images",
            "Images accepted and unanswered.",
            lambda: self.admission.outstanding,
        )
        watch(
            "twinlens_queue_bytes",
            "Bytes of request bodies being read or in work.",
            lambda: self.admission.held_bytes,
        )
        watch(
            "twinlens_device_queue_images",
            "Images waiting for the device.",
            lambda: self._batcher.depth,
        )
        if self._device != "cpu":
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

    async def _keep_up_to_date(self, loader: Loader) -> None:
        said: str | None = None
        while True:
            try:
                await self._change(loader.update)
                self._loading_failure = None
            except StoreError as error:
                self._loading_failure = str(error)
            # What is loaded goes on; the next look may succeed.
            except Exception as error:
                self._loading_failure = f"loading models has failed ({error!r}); see the log"
                _logger.exception("looking through the model store has failed")
            self._first_look.set()
            reason = None if self._catalogue.models else self.unready_reason()
            if reason is not None and reason != said:
                _logger.warning("%s", reason)
            said = reason
            if not self.settings.store_poll_seconds:
                return
            await asyncio.sleep(self.settings.store_poll_seconds)

    async def _rebuild(self, name: str) -> None:
        loader = self._loader
        if loader is not None:
            # The old engine is not closed: it may be in use by a call that never comes back, and
            # closing it could hang too, or raise.
            await self._change(lambda current: loader.rebuild(current, name), retire=False)

    async def _change(
        self, make: Callable[[Catalogue], Catalogue], *, retire: bool = True
    ) -> Catalogue:
        """Puts in place what the loading thread makes of the present catalogue."""
        loop = asyncio.get_running_loop()
        async with self._changing:
            found = await loop.run_in_executor(self._loading_thread, make, self._catalogue)
            if found is not self._catalogue:
                replaced = self._switch(found)
                if retire:
                    for model in replaced:
                        model.retire()
            return found

    def _switch(self, catalogue: Catalogue) -> list[LoadedModel]:
        """Puts a catalogue in place; gives the models that the one before had and it has not."""
        old = self._catalogue
        self._catalogue = catalogue
        versions = {name: model.version for name, model in catalogue.models.items()}
        self.metrics.model_versions(versions)
        self.metrics.distributions.serve(
            (model.manifest, model.typicality) for model in catalogue.models.values()
        )
        _logger.info(
            "models switched",
            extra=fields(
                models=versions,
                default=catalogue.default_model,
                refused=[f"{r.name}/{r.version}" for r in catalogue.refused],
            ),
        )
        if catalogue.default is not None and catalogue.default_model is None:
            _logger.warning(
                "the default model '%s' is not loaded; import or train it, or choose another with "
                "python -m model_store default NAME or TWINLENS_DEFAULT_MODEL",
                catalogue.default,
            )
        return [
            model for name, model in old.models.items() if catalogue.models.get(name) is not model
        ]


@contextlib.asynccontextmanager
async def running(settings: Settings, metrics: Metrics | None = None) -> AsyncIterator[Service]:
    """A service for use from Python alone, its models loaded.

    Raises:
        InferenceError: No model could be loaded.
    """
    service = Service(settings, metrics or Metrics())
    try:
        service.start()
        await service.first_look()
        reason = service.unready_reason()
        if reason is not None:
            raise InferenceError(reason)
        yield service
    finally:
        await service.close()
