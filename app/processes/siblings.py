"""What front-ends of one service ask each other: `metrics`, `ready`, `hindrance` or `reload`."""

import asyncio
import contextlib
import logging
from pathlib import Path

from app.inference.service import Service
from app.observability.metrics import Metrics
from app.observability.shared import Shared
from app.processes.asking import ask
from app.processes.exposition import merge, without
from app.processes.folder import Folder
from app.processes.usage import usage_of_family
from model_store.errors import TwinlensError

_logger = logging.getLogger(__name__)

# Half of the shipped scrape timeout (deploy/prometheus): what is told has yet to be put together.
_METRICS_SECONDS = 2.0
_READY_SECONDS = 1.0
# A busy moment is no reason to lose a whole service.
_HUNG_SECONDS = 5.0
_LOOK_SECONDS = 1.0
# A model may have to be loaded and warmed up.
_RELOAD_SECONDS = 120.0

_ANSWERING = """\
# HELP twinlens_processes_answering Front-end processes whose present figures are in these metrics.
# TYPE twinlens_processes_answering gauge
twinlens_processes_answering {}
"""

# For one that hangs, which cannot say so.
_UNREADY = """\
# TYPE twinlens_ready gauge
twinlens_ready 0.0
"""

# In place of what the front-ends tell: the device process and the parent tell nothing.
_USAGE = """\
# HELP process_virtual_memory_bytes Virtual memory size in bytes, of all processes.
# TYPE process_virtual_memory_bytes gauge
process_virtual_memory_bytes {}
# HELP process_resident_memory_bytes Resident memory size in bytes, of all processes.
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes {}
# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds, of all processes.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total {}
"""
_USED = (
    "process_virtual_memory_bytes",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
)


class SiblingError(TwinlensError):
    """A sibling does not answer, or could not do what it was asked."""


class SiblingSilent(SiblingError):
    """A sibling takes connections and does not answer in time."""


class SocketSiblings:
    """A front-end among the others of its service. Made, used and closed on one event loop.

    Args:
        folder: Where the sockets are.
        number: This front-end's own.
        processes: How many there are.
        parent: The process that started all of the service's.
    """

    def __init__(self, folder: Folder, number: int, processes: int, *, parent: int) -> None:
        self._folder = folder
        self._parent = parent
        self._number = number
        self._others = [other for other in range(processes) if other != number]
        self._service: Service | None = None
        self._server: asyncio.AbstractServer | None = None
        self._inherited: str | None = None
        self._own = Shared(self._own_exposition)
        self._whole = Shared(self._whole_exposition)
        self._kept = True
        self._listening = False
        # Since when, and what waits for them to answer.
        self._silent: dict[int, tuple[float, asyncio.Task[None]]] = {}

    async def open(self, service: Service) -> None:
        """Begins to answer the others, on behalf of this process's service.

        Returns when this process should listen for requests: at once where no other is ready, as
        somebody must say that the service is alive; else once its models are loaded, as until then
        the others do better with the connections that would come here, or once there are no others
        any more that are ready.
        """
        self._service = service
        self._inherited = _read(self._folder.record(self._number))
        path = self._folder.socket(self._number)
        # Whoever had this number before may have had no time to remove it.
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._answer, path)
        if await self._others_ready():
            await self._wait(service)
        self._listening = True

    async def close(self) -> None:
        """Answers them no more."""
        if self._server is not None:
            self._server.close()
        for other in list(self._silent):
            self._heard(other)

    async def exposition(self) -> str:
        """The metrics of all processes as one service's, in Prometheus' text format.

        They are put together once for all who ask meanwhile.
        """
        return await self._whole.get()

    async def unready_reason(self) -> str | None:
        """Why requests that come to another process would not be served; None if all would.

        One that has died, or does not listen again yet, gets no requests; one that hangs does.
        """
        found = await asyncio.gather(*map(self._hindrance_of, self._others))
        return next(filter(None, found), None)

    async def look(self) -> None:
        """Has the others look through the store now; what one of them cannot do is logged."""
        await asyncio.gather(*map(self._look_of, self._others))

    async def _whole_exposition(self) -> str:
        own, found, unready = await asyncio.gather(
            self._own.get(),
            asyncio.gather(*map(self._exposition_of, self._others)),
            self.unready_reason(),
        )
        answering, silent = [own], []
        for other, text in zip(self._others, found, strict=True):
            if text is not None:
                answering.append(text)
            elif (record := _read(self._folder.record(other))) is not None:
                silent.append(record)
        told = answering if unready is None else [*answering, _UNREADY]
        # The interpreter is shared with requests in work, which a thread leaves turns to.
        merged = await asyncio.to_thread(self._merged, told, silent)
        return merged + _ANSWERING.format(float(len(answering)))

    def _merged(self, answering: list[str], silent: list[str]) -> str:
        whole = merge(answering, silent)
        try:
            usage = usage_of_family(self._parent)
        except OSError:
            return whole  # The parent has ended, and with it the service, in a moment.
        for name in _USED:
            whole = without(whole, name)
        return whole + _USAGE.format(
            float(usage.virtual_bytes), float(usage.resident_bytes), usage.cpu_seconds
        )

    async def _wait(self, service: Service) -> None:
        """Returns once the models are loaded, or no other has been ready for some time."""
        clock = asyncio.get_running_loop().time
        looking = asyncio.create_task(service.first_look())
        try:
            ready = clock()
            while clock() - ready < _HUNG_SECONDS:
                await asyncio.wait([looking], timeout=_LOOK_SECONDS)
                if looking.done():
                    await looking
                    return
                if await self._others_ready():
                    ready = clock()
        finally:
            looking.cancel()

    async def _others_ready(self) -> bool:
        return any(await asyncio.gather(*map(self._is_ready, self._others)))

    async def _is_ready(self, other: int) -> bool:
        try:
            await self._ask(other, "ready", _READY_SECONDS)
        except SiblingError:
            return False
        return True

    async def _hindrance_of(self, other: int) -> str | None:
        asked = asyncio.get_running_loop().time()
        try:
            hindrance = await self._ask(other, "hindrance", _READY_SECONDS)
        except SiblingSilent as error:
            if other not in self._silent:
                self._silent[other] = asked, asyncio.create_task(self._wait_for_word(other))
            since, _ = self._silent[other]
            return str(error) if asked - since >= _HUNG_SECONDS else None
        except SiblingError:
            hindrance = ""
        self._heard(other)
        return hindrance or None

    async def _wait_for_word(self, other: int) -> None:
        """Returns once a silent one answers or has ended, and its silence is forgotten.

        The next probe that comes here may be long after, in another busy moment of the same one.
        """
        while True:
            try:
                await self._ask(other, "hindrance", _HUNG_SECONDS)
            except SiblingSilent:
                continue
            except SiblingError:
                pass
            self._silent.pop(other, None)
            return

    def _heard(self, other: int) -> None:
        silence = self._silent.pop(other, None)
        if silence is not None:
            silence[1].cancel()

    async def _exposition_of(self, other: int) -> str | None:
        try:
            return await self._ask(other, "metrics", _METRICS_SECONDS)
        except SiblingError as error:
            _logger.warning("metrics without the present figures of one process: %s", error)
            return None

    async def _look_of(self, other: int) -> None:
        try:
            await self._ask(other, "reload", _RELOAD_SECONDS)
        except SiblingError as error:
            _logger.warning("the store was not looked through by all processes: %s", error)

    async def _ask(self, other: int, question: str, seconds: float) -> str:
        try:
            result, answer = await ask(self._folder.socket(other), question, seconds)
        except TimeoutError:
            raise SiblingSilent(f"front-end {other} did not answer within {seconds:g} s") from None
        except (OSError, EOFError, ValueError) as error:
            raise SiblingError(f"front-end {other} does not answer ({error})") from error
        if result != "OK":
            raise SiblingError(f"front-end {other}: {answer}")
        return answer

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            question = (await reader.readline()).decode().strip()
            try:
                result, answer = "OK", (await self._do(question)).encode()
            # Whatever it is, it is the asker's to know.
            except Exception as error:
                if not isinstance(error, TwinlensError):
                    _logger.exception("a sibling's question '%s' has failed", question)
                result, answer = "ERROR", (str(error) or repr(error)).encode()
            writer.write(f"{result} {len(answer)}\n".encode() + answer)
            await writer.drain()

    async def _do(self, question: str) -> str:
        if self._service is None:
            raise SiblingError("it has not started yet")
        if question == "metrics":
            told = await self._own.get()
            # As with `hindrance`: nothing comes here yet, and the service is no less ready for it.
            return told if self._listening else without(told, "twinlens_ready")
        if question == "ready":
            if (reason := self._service.unready_reason()) is not None:
                raise SiblingError(reason)
            return ""
        if question == "hindrance":
            return (self._service.unready_reason() or "") if self._listening else ""
        if question == "reload":
            await self._service.look()
            return ""
        raise SiblingError(f"there is no question '{question}'")

    async def _own_exposition(self) -> str:
        """This process's metrics, and what those before it with the same number have counted.

        They are kept in a file before they are told: should this process die, nothing that anyone
        has seen it count is forgotten. Where they cannot be kept, they are told all the same.
        """
        if self._service is None:
            raise SiblingError("it has not started yet")
        return await asyncio.to_thread(self._kept_exposition, self._service.metrics)

    def _kept_exposition(self, metrics: Metrics) -> str:
        # One at a time, by way of `_own`, or an older file could take a newer one's place.
        text = metrics.exposition().decode()
        if self._inherited is not None:
            text = merge([text], [self._inherited])
        self._keep(text)
        return text

    def _keep(self, text: str) -> None:
        path = self._folder.record(self._number)
        incoming = path.with_suffix(".incoming")
        try:
            incoming.write_text(text, encoding="utf-8")
            incoming.replace(path)
        except OSError as error:
            if self._kept:
                _logger.warning(
                    "metrics cannot be kept, so that counters fall should this process die (%s); "
                    "make room in %s",
                    error,
                    path.parent,
                )
            self._kept = False
        else:
            self._kept = True


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None
