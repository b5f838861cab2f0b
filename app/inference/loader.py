"""Brings a catalogue up to date with the store: new versions in beside the old, then a switch."""

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from app.inference.catalogue import Catalogue, LoadedModel, Refusal
from app.inference.engines import Engine
from app.inference.engines.agreement import EngineDisagrees, check
from app.inference.errors import EngineHung, InferenceError
from app.inference.fingerprint import Fingerprint, fingerprint
from app.observability.logs import fields
from app.observability.metrics import Metrics
from model_store import Checkpoint
from model_store.errors import StoreError
from model_store.files import NoSuchData
from model_store.reader import StoreReader

_logger = logging.getLogger(__name__)

MakeEngine = Callable[[Checkpoint], Engine]
"""Makes an engine of a checkpoint, not yet warm; may raise `InferenceError`."""

_NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)

_RETRY_SECONDS = 5.0
_LONGEST_RETRY_SECONDS = 600.0


@dataclass(frozen=True)
class _Refused:
    """A version that could not be loaded.

    Attributes:
        files: As they were.
        error: Why, for users.
        retry: Monotonic time from which it is worth another try with the same files; infinite for
            never.
        delay: Seconds from this try to the next.
    """

    files: Fingerprint
    error: str
    retry: float
    delay: float


class Loader:
    """Loads what a store holds. Used by one thread at a time.

    Args:
        store: Where models are.
        default: Goes before the store's own default model.
        make: Makes an engine, which may take the checkpoint's network over.
        max_batch: The largest batch to warm up for.
        metrics: Where loads and refusals go on record.

    Attributes:
        hung: Why the last look tried no further models; None where nothing hung.
        give_way: Set by whoever waits for a look to end: it then loads no further models.
        gave_way: Whether the last look left something out for that reason.
        retry: Monotonic time from which a look may find what the last one could not read or load;
            infinite where that takes a change of the store.
    """

    def __init__(
        self,
        store: StoreReader,
        *,
        default: str | None,
        make: MakeEngine,
        max_batch: int,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._default = default
        self._make = make
        self._max_batch = max_batch
        self._metrics = metrics
        self._refused: dict[tuple[str, int], _Refused] = {}
        # Of each model, as its files were before it was loaded.
        self._files: dict[str, Fingerprint] = {}
        self._warned: str | None = None
        self._index_read = False
        self.hung: str | None = None
        self.give_way = threading.Event()
        self.gave_way = False
        self.retry = math.inf

    def update(self, current: Catalogue, *, at_once: bool = False) -> Catalogue:
        """The catalogue that should take the current one's place; the same one if all is as it was.

        For each model the newest version that can be loaded, and anew where its files were
        replaced: one that cannot is refused and remembered. It is not tried again until its files
        change; but where the reason was not in them (memory was short, a device process died), it
        is, after ever longer times. A model of which no version can be loaded goes on as it was. If
        what computes hangs, nothing further is tried in this look.
        A store that cannot be read, or that seems to have lost every model, changes nothing. It
        ends early if `give_way` is set, and is to be done again then.

        Args:
            current: What is loaded.
            at_once: Whether everything that was refused is tried now.

        Raises:
            StoreError: The store cannot be read, and nothing is loaded that could go on.
        """
        self.hung, self.gave_way = None, False
        self.retry = time.monotonic() + _RETRY_SECONDS
        try:
            names = [reference.name for reference in self._store.models()]
        except StoreError as error:
            if not current.models:
                raise
            self._warn(f"{error}; what is loaded goes on")
            return current
        # A folder that cannot be read any more is no reason to stop serving what came from it.
        hidden = [name for name in current.models if name not in names and self._hidden(name)]
        if current.models and not names and not hidden:
            self._warn(f"{self._store.root} holds no model any more; what is loaded goes on")
            return current
        models = {name: current.models[name] for name in hidden}
        self.retry = math.inf
        for name in names:
            model = self._newest(name, current.models.get(name), at_once=at_once)
            if model is not None:
                models[name] = model
        found = self._with_models(self._with_index(current), models)
        return current if found == current else found

    def rebuild(self, current: Catalogue, name: str) -> Catalogue:
        """The catalogue with one model loaded anew, in the version it has.

        If the store cannot give that any more, since the model went on though its files were
        damaged or moved out, it is the newest version that can be loaded, as after a start. If
        there is none, the catalogue is without the model, and has the default that the store names
        by now. What may pass (a read error, an engine that is gone) is no reason to give it up.

        Raises:
            StoreError, OSError: It cannot be loaded any more, and no other model would be left; or
                it could not be read, for a reason that is not in its files.
            InferenceError: It cannot be loaded; engines may raise others.
        """
        if name not in current.models:
            return current
        models = dict(current.models)
        version = models.pop(name).version
        model: LoadedModel | None
        try:
            model = self._load(name, version, self._fingerprint(name, version))
        except StoreError as error:
            if not _lost(error):
                raise
            model = self._newest_sound(name)
            _logger.exception("model lost", extra=fields(model=name, version=version))
            if model is None:
                if not models:
                    raise
                # A store that seems to have lost every model says nothing of what the default is.
                if self._store.models():
                    current = self._with_index(current)
        if model is not None:
            models[name] = model
        return self._with_models(current, models)

    def _newest_sound(self, name: str) -> LoadedModel | None:
        """The newest version whose files are sound; None where there is none.

        Raises:
            Exception: Whatever hinders loading and is not in the files, so that it may pass.
        """
        for version in reversed(self._store.versions(name)):
            files = self._fingerprint(name, version)
            try:
                return self._load(name, version, files)
            except Exception as error:
                if not _lost(error):
                    raise
                self._refuse(name, version, files, error, _RETRY_SECONDS)
        return None

    def _with_models(self, current: Catalogue, models: dict[str, LoadedModel]) -> Catalogue:
        """The catalogue with these models, and with what is refused by now."""
        self._refused = {
            (name, version): refusal
            for (name, version), refusal in self._refused.items()
            if version in self._versions(name)
        }
        refused = tuple(
            Refusal(name, version, refused.error)
            for (name, version), refused in sorted(self._refused.items())
        )
        return replace(
            current,
            models=dict(sorted(models.items())),
            refused=refused,
            in_memory_only=frozenset(
                name for name, model in models.items() if model.version not in self._versions(name)
            ),
        )

    def _warn(self, message: str) -> None:
        """Logs what is wrong with the store, once as long as it stays the same."""
        if message != self._warned:
            _logger.warning("%s", message)
        self._warned = message

    def _with_index(self, current: Catalogue) -> Catalogue:
        try:
            index = self._store.index()
        except StoreError as error:
            self._warn(f"{error}; default and aliases stay as they are")
            self.retry = min(self.retry, time.monotonic() + _RETRY_SECONDS)
            default = self._default or current.default
            # What the store chose is not known if it was never read.
            unknown = None if default is not None or self._index_read else str(error)
            return replace(current, default=default, default_unknown=unknown)
        self._warned = None
        self._index_read = True
        return replace(
            current,
            default=self._default or index.default,
            default_unknown=None,
            aliases=index.aliases,
        )

    def _newest(
        self, name: str, loaded: LoadedModel | None, *, at_once: bool
    ) -> LoadedModel | None:
        versions = self._versions(name)
        for version in reversed(versions):
            # Before they are read: what is replaced meanwhile is loaded at the next look.
            files = self._fingerprint(name, version)
            serving = loaded is not None and loaded.version == version
            if serving and self._files.get(name) == files:
                self._refused.pop((name, version), None)
                return loaded
            model = self._try(name, version, files, at_once=at_once)
            if model is not None:
                return model
            if serving:
                break  # It goes on as it was loaded, rather than an older one.
        # Also where its own folder was moved out: whoever goes back to an older version, which
        # nobody has looked at while this one served, may find that one damaged.
        return loaded if versions or self._hidden(name) else None

    def _try(
        self, name: str, version: int, files: Fingerprint, *, at_once: bool
    ) -> LoadedModel | None:
        """A version, unless it cannot be loaded, or was refused and nothing has changed."""
        if self.hung is not None:
            return None  # Each further one would be waited for as long.
        known = self._refused.get((name, version))
        if known is not None and known.files != files:
            known = None
        if known is not None and not at_once and known.retry > time.monotonic():
            self.retry = min(self.retry, known.retry)
            return None
        if self.give_way.is_set():
            self.gave_way = True
            return None
        try:
            return self._load(name, version, files)
        # Whatever is wrong with one model (also: the device's memory is full), the others and
        # the version that serves now must go on.
        except Exception as error:  # noqa: BLE001 (it is logged)
            if isinstance(error, EngineHung):
                self.hung = str(error)
            delay = _RETRY_SECONDS if known is None else 2 * known.delay
            self._refuse(name, version, files, error, delay)
            return None

    def _versions(self, name: str) -> list[int]:
        try:
            return self._store.versions(name)
        except OSError:
            return []

    def _fingerprint(self, name: str, version: int) -> Fingerprint:
        return fingerprint(self._store.root / name / str(version))

    def _hidden(self, name: str) -> bool:
        """Whether a model is there and cannot be looked at."""
        try:
            self._store.versions(name)
        except OSError as error:
            _logger.warning("model '%s' cannot be read any more", name, exc_info=error)
            return True
        return False

    def _load(self, name: str, version: int, files: Fingerprint) -> LoadedModel:
        checkpoint = self._store.load(name, version)
        # Where none is stored the network is asked, which has to be before an engine takes it over.
        _ = checkpoint.reference
        engine = self._make(checkpoint)
        try:
            engine.warm_up(self._max_batch)
            _check(engine, checkpoint)
        except BaseException:
            engine.close()
            raise
        self._files[name] = files
        self._refused.pop((name, version), None)
        self._metrics.model_load(name, loaded=True)
        _logger.info(
            "model loaded",
            extra=fields(
                model=name,
                version=version,
                engine=engine.name,
                device=engine.device,
                precision=engine.precision,
                reason=engine.reason,
            ),
        )
        return LoadedModel(checkpoint.manifest, checkpoint.network, engine, checkpoint.typicality)

    def _refuse(
        self, name: str, version: int, files: Fingerprint, error: Exception, delay: float
    ) -> None:
        _logger.error("model refused", exc_info=error, extra=fields(model=name, version=version))
        # The messages of Twinlens' own errors are for users; others may say anything.
        message = (
            str(error)
            if isinstance(error, (StoreError, InferenceError))
            else f"{type(error).__name__}: {error}"
        )
        delay = min(delay, _LONGEST_RETRY_SECONDS)
        retry = math.inf if _in_the_files(error) else time.monotonic() + delay
        self.retry = min(self.retry, retry)
        self._refused[name, version] = _Refused(files, message, retry, delay)
        self._metrics.model_load(name, loaded=False)


def _in_the_files(error: Exception) -> bool:
    """Whether loading the same files again could only end the same way."""
    if isinstance(error, StoreError):
        cause = error.__cause__
        return isinstance(cause, NoSuchData) or not isinstance(cause, OSError)
    return isinstance(error, _Unsound)


def _lost(error: Exception) -> bool:
    """Whether a version is not to be had from the files as they are.

    A file that is not there may be there again, with the times that it had: it is looked for again.
    """
    return _in_the_files(error) or (
        isinstance(error, StoreError) and isinstance(error.__cause__, _NOT_THERE)
    )


class _Unsound(InferenceError):
    """A model does not compute what it should."""


def _check(engine: Engine, checkpoint: Checkpoint) -> None:
    """Refuses an engine that does not do what the network did."""
    manifest = checkpoint.manifest
    model = f"model '{manifest.name}' version {manifest.version}"
    if not checkpoint.reference.finite:
        raise _Unsound(
            f"{model} gives no finite embeddings of {manifest.dimension} values; train it again"
        )
    try:
        check(engine, checkpoint.reference)
    except EngineDisagrees as error:
        if checkpoint.probe is None:
            raise _Unsound(
                f"{model} gives another embedding of a known image than its network does: {error}; "
                "choose another engine"
            ) from error
        raise _Unsound(
            f"{model} gives another embedding of a known image here than when it was saved: "
            f"{error}; choose another engine, use the versions of PyTorch and Twinlens that it was "
            "saved with, or train or import it again"
        ) from error
