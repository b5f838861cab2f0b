"""The loaded models, and how they keep up with the store."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from app.inference.catalogue import Catalogue, LoadedModel
from app.inference.engines.base import has_ended
from app.inference.errors import ModelLost, NotReady
from app.inference.loader import Loader
from app.observability.logs import fields
from app.observability.metrics import Metrics
from model_store.errors import StoreError
from model_store.reader import StoreReader
from model_store.shipped import IMPORTED_MODELS

_logger = logging.getLogger(__name__)

# A model may have to be loaded and warmed up.
_LOOK_SECONDS = 120.0
_AGAIN_SECONDS = 5.0
"""After which the only look is taken again if it has failed as a whole."""


class Library:
    """Keeps a catalogue up to date, in the background. Made, used and closed on one event loop.

    Args:
        loader: Looks through the store.
        root: Where the store is, for messages.
        poll_seconds: Time between two looks; 0 for only one, taken again as long as something
            cannot be read or loaded for a reason that may pass.
        metrics: Where versions go on record.

    Attributes:
        failure: Why nothing can be loaded any more and the process must be started anew; None as
            long as that is not so.
    """

    def __init__(
        self, loader: Loader, *, root: Path, poll_seconds: float, metrics: Metrics
    ) -> None:
        self._loader = loader
        self._store = StoreReader(root)
        self._poll_seconds = poll_seconds
        self._metrics = metrics
        self._catalogue = Catalogue()
        self._first_look = asyncio.Event()
        self._last_failure: str | None = None
        self.failure: str | None = None
        self._has_served = False
        self._lost_default = False
        self._thread = ThreadPoolExecutor(1, "twinlens-load")
        self._loading: asyncio.Task[None] | None = None
        # Whoever makes a catalogue from the present one must be alone until it is in place.
        self._changing = asyncio.Lock()

    @property
    def catalogue(self) -> Catalogue:
        """What is loaded now."""
        return self._catalogue

    def start(self) -> None:
        """Begins to load models, in the background."""
        self._loading = asyncio.create_task(self._keep_up_to_date())

    async def close(self) -> None:
        """Loads no more; what is loaded stays."""
        if self._loading is not None:
            self._loading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loading
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def first_look(self) -> None:
        """Waits until the store has been looked through once, whatever was found."""
        await self._first_look.wait()

    async def look(self) -> Catalogue:
        """Looks through the store now, and serves what is found.

        What could not be loaded is tried again, too, whatever the reason.

        Raises:
            NotReady: Loading has not begun, or takes very long.
            StoreError: The store cannot be read.
        """
        if self._loading is None:
            raise NotReady("no models are being loaded yet; ask again in a few seconds")
        looking = asyncio.ensure_future(self._update(at_once=True))
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                # What is found later is served all the same.
                return await asyncio.shield(looking)
        except TimeoutError:
            raise NotReady(
                f"models are still being loaded after {_LOOK_SECONDS:g} s, which goes on; ask "
                "GET /models for what is loaded"
            ) from None

    async def rebuild(self, name: str, begun: Callable[[], None] = lambda: None) -> None:
        """Puts a new engine in place of a model's. A look in progress gives way to that.

        The old engine is not closed unless what computes for it has ended: it may be in use by a
        call that never comes back, and closing it could hang too, or raise.

        Args:
            name: The model.
            begun: Called when it is its turn: when what was being loaded, if anything, is.

        Raises:
            ModelLost: The store cannot give the model any more; it is not served from now on. Where
                it was the default, nothing is ready until there is one again, as after a start.
            StoreError, OSError, InferenceError: As `Loader.rebuild`; all is as it was.
        """
        served = default = False

        def rebuild(current: Catalogue) -> Catalogue:
            nonlocal served, default
            served, default = name in current.models, name == current.default_model
            return self._loader.rebuild(current, name)

        self._loader.give_way.set()
        try:
            found = await self._change(rebuild, retire=False, begun=begun)
        finally:
            self._loader.give_way.clear()
        # Who took it out of the store meanwhile wants nothing mended.
        if served and name not in found.models:
            if default and self._missing_default(found) is not None:
                self._lost_default = True
            raise ModelLost(
                f"model '{name}' is not served any more: no version of it in the store "
                f"{self._store.root} can be loaded{found.why_refused(name)}"
            )

    def missing_default(self) -> str | None:
        """Why there is no model for those who name none; None where there was one.

        What has served goes on, whatever becomes of the store: the models that are left are better
        than no service. But a default that was lost with its engine is missing as after a start.
        """
        if self._has_served and not self._lost_default:
            return None
        return self._missing_default(self._catalogue)

    def hindrance(self) -> str | None:
        """Why there is no model at all; None where there is one."""
        if not self._first_look.is_set():
            return "models are being loaded; ask again in a few seconds"
        if self._catalogue.models:
            return None
        if self._last_failure is not None:
            return self._last_failure
        refused = "; ".join(
            f"{refusal.name} version {refusal.version}: {refusal.error}"
            for refusal in self._catalogue.refused
        )
        return (
            f"no model could be loaded ({refused})"
            if refused
            else f"the store {self._store.root} holds no model; import one "
            f"({self._store.command('model_store', 'import', 'photos')}) or train one "
            f"({self._store.command('training', 'fit')})"
        )

    async def _keep_up_to_date(self) -> None:
        said: str | None = None
        while self.failure is None:
            try:
                await self._update()
                self._last_failure = None
            except StoreError as error:
                self._last_failure = str(error)
            # What is loaded goes on; the next look may succeed.
            except Exception as error:
                self._last_failure = f"loading models has failed ({error!r}); see the log"
                _logger.exception("looking through the model store has failed")
            self._first_look.set()
            reason = self.hindrance()
            if reason is not None and reason != said:
                _logger.warning("%s", reason)
            said = reason
            wait = self._poll_seconds or self._until_more_may_be_found()
            if wait == math.inf:
                return
            await asyncio.sleep(wait)

    def _until_more_may_be_found(self) -> float:
        """In seconds; infinite where that takes a change of the store."""
        if self._last_failure is not None:
            return _AGAIN_SECONDS
        return self._loader.retry - time.monotonic()

    async def _update(self, *, at_once: bool = False) -> Catalogue:
        while True:
            found = await self._change(partial(self._loader.update, at_once=at_once))
            if not self._loader.gave_way:
                return found

    async def _change(
        self,
        make: Callable[[Catalogue], Catalogue],
        *,
        retire: bool = True,
        begun: Callable[[], None] = lambda: None,
    ) -> Catalogue:
        """Puts in place what the loading thread makes of the present catalogue."""
        loop = asyncio.get_running_loop()
        async with self._changing:
            begun()
            found = await loop.run_in_executor(self._thread, make, self._catalogue)
            if found is not self._catalogue:
                replaced = self._switch(found)
                for model in replaced:
                    if retire or has_ended(model.engine):
                        model.retire()
            hung = self._loader.hung
            # What serves goes on: should it hang as well, the watchdog notices.
            if hung is not None and not self._has_served and self.failure is None:
                self.failure = f"{hung}; the process ends"
                _logger.critical("%s", self.failure)
            return found

    def _switch(self, catalogue: Catalogue) -> list[LoadedModel]:
        """Puts a catalogue in place; gives the models that the one before had and it has not."""
        old = self._catalogue
        self._catalogue = catalogue
        missing = self._missing_default(catalogue)
        if catalogue.models and missing is None:
            self._has_served, self._lost_default = True, False
        versions = {name: model.version for name, model in catalogue.models.items()}
        self._metrics.model_versions(versions)
        self._metrics.distributions.serve(
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
        if missing is not None:
            _logger.warning("%s", missing)
        return [
            model for name, model in old.models.items() if catalogue.models.get(name) is not model
        ]

    def _missing_default(self, catalogue: Catalogue) -> str | None:
        """What is wrong with the default model; None where it is loaded, or none is chosen."""
        if catalogue.default_unknown is not None:
            return catalogue.default_unknown
        if catalogue.default is None or catalogue.default_model is not None:
            return None
        why = catalogue.why_refused(catalogue.default)
        bring = "import or train it"
        if not why and catalogue.default in IMPORTED_MODELS:
            importing = self._store.command("model_store", "import", catalogue.default)
            bring = f"bring it in with {importing}"
        return (
            f"the default model '{catalogue.default}' is not loaded{why}; {bring}, or choose "
            f"another with {self._store.command('model_store', 'default', 'NAME')} or "
            "TWINLENS_DEFAULT_MODEL"
        )
