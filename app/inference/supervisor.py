"""Watches device and decoder, has a broken engine rebuilt once, says when the process must end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from app.inference.batcher import Batcher, Fault
from app.inference.decode import Decoder
from app.inference.errors import EngineGone, ModelLost
from app.inference.lane import Lane
from app.observability.metrics import Metrics

_logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
_REBUILD_SECONDS = 120.0
_TURN_SECONDS = 600.0
"""Most that is waited for a model that is just being loaded, as it is for one on a device."""
_TRUST_SECONDS = 600.0


class Supervisor:
    """Mends a batcher's faults; a decoder that hangs cannot be mended.

    Args:
        batcher: What is watched.
        decoder: Likewise.
        rebuild: Puts a new engine in place of a model's, and calls what it is given when it begins;
            raises `ModelLost` where it has done away with the model instead.
        lanes: Of each model that serves now, one.
        watchdog_seconds: A call of an engine that takes longer counts as hung, and so does the
            decoder if each of its threads is at one image for longer.
        metrics: Where rebuilding goes on record.

    Attributes:
        failure: Why nothing can be mended any more and the process must be started anew; None as
            long as that is not so.
    """

    def __init__(
        self,
        batcher: Batcher,
        decoder: Decoder,
        *,
        rebuild: Callable[[str, Callable[[], None]], Awaitable[None]],
        lanes: Callable[[], Iterable[Lane]],
        watchdog_seconds: float,
        metrics: Metrics,
    ) -> None:
        self._batcher = batcher
        self._decoder = decoder
        self._rebuild = rebuild
        self._lanes = lanes
        self._watchdog_seconds = watchdog_seconds
        self._metrics = metrics
        self._mended: dict[str | None, float] = {}
        self.failure: str | None = None

    async def watch(self) -> None:
        """Watches until cancelled, or until there is a failure."""
        while self.failure is None:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                self.failure = await self._look()
            # With nobody watching, a service that seems ready may answer nothing ever again.
            except Exception as error:
                _logger.exception("the supervisor has failed")
                self.failure = (
                    f"watching the device has failed ({type(error).__name__}: {error}); "
                    "the process ends"
                )
        _logger.critical("%s", self.failure)

    async def _look(self) -> str | None:
        """Mends what can be mended; gives why something cannot."""
        self._batcher.condemn_if_stuck(self._watchdog_seconds)
        self._batcher.condemn_if_ended(self._lanes())
        fault = self._batcher.fault
        failure = None if fault is None else await self._mend(fault)
        hung = self._decoder.condemn_if_stuck(self._watchdog_seconds)
        # Its threads cannot be ended, and further ones would hang at the next such images.
        return failure if hung is None else f"{hung}; the process ends"

    async def _mend(self, fault: Fault) -> str | None:
        """None once it is mended or worth another try, else why it is not."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        # What ends one model's engine may end those of others, each of which is mended once; but
        # what has ended of itself is started anew by whoever started it, however often.
        trusted = now - self._mended.get(fault.model, -_TRUST_SECONDS) >= _TRUST_SECONDS
        if not (fault.gone or trusted):
            return f"{fault.reason}, again after it was mended; the process ends"
        if fault.model is not None:
            try:
                async with asyncio.timeout(_TURN_SECONDS) as limit:
                    await self._rebuild(
                        fault.model, lambda: limit.reschedule(loop.time() + _REBUILD_SECONDS)
                    )
            except EngineGone as error:
                _logger.warning("not mended yet: %s", error)
                return None
            except ModelLost:
                _logger.exception("rebuilding failed; the other models go on")
                self._metrics.engine_rebuilt(fault.model, mended=False)
            # Whatever it is, there is no other way to mend it.
            except Exception as error:
                _logger.exception("rebuilding failed")
                self._metrics.engine_rebuilt(fault.model, mended=False)
                return (
                    f"{fault.reason}, and rebuilding it failed ({type(error).__name__}: {error}); "
                    "the process ends"
                )
            else:
                self._metrics.engine_rebuilt(fault.model, mended=True)
        if not fault.gone:
            self._mended[fault.model] = now
        _logger.warning("mended: %s", fault.reason)
        self._batcher.recover(self._lanes())
        return None
