"""Brings a catalogue up to date with the store: new versions in beside the old, then a switch."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from app.inference.catalogue import Catalogue, LoadedModel, Refusal
from app.inference.engines import Engine, Features, UInt8Batch, make_engine, sides
from app.inference.errors import InferenceError
from app.observability.logs import fields
from app.observability.metrics import Metrics
from app.settings import EngineName, PrecisionName
from model_store import Checkpoint, ModelStore
from model_store.errors import StoreError
from model_store.network import Side

_logger = logging.getLogger(__name__)

# What half precision and eight-bit weights may cost; a device that computes wrongly is off by more.
_TOLERANCE = 0.1

_Fingerprint = tuple[tuple[str, int, int], ...]


class Loader:
    """Loads what a store holds. Used by one thread at a time.

    Args:
        store: Where models are.
        default: Goes before the store's own default model.
        engine: As the `ENGINE` setting.
        precision: As the `PRECISION` setting.
        cache: Folder for converted networks.
        device: From `choose_device`.
        threads: Threads to compute on with the CPU; 0 for as many as there are CPUs.
        max_batch: The largest batch to warm up for.
        metrics: Where loads and refusals go on record.
    """

    def __init__(
        self,
        store: ModelStore,
        *,
        default: str | None,
        engine: EngineName,
        precision: PrecisionName,
        cache: Path,
        device: str,
        threads: int,
        max_batch: int,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._default = default
        self._engine: EngineName = engine
        self._precision: PrecisionName = precision
        self._cache = cache
        self._device = device
        self._threads = threads
        self._max_batch = max_batch
        self._metrics = metrics
        self._refused: dict[tuple[str, int], tuple[_Fingerprint, str]] = {}

    def update(self, current: Catalogue) -> Catalogue:
        """The catalogue that should take the current one's place; the same one if all is as it was.

        For each model the newest version that can be loaded: one that cannot is refused and
        remembered, and not tried again until its files change. A store that cannot be read, or
        that seems to have lost every model, changes nothing.
        """
        try:
            names = [reference.name for reference in self._store.models()]
        except OSError as error:
            _logger.warning("the model store cannot be read; nothing changes", exc_info=error)
            return current
        # A folder that cannot be read any more is no reason to stop serving what came from it.
        hidden = [name for name in current.models if name not in names and self._hidden(name)]
        if current.models and not names and not hidden:
            _logger.warning("%s holds no model any more; nothing changes", self._store.root)
            return current
        models = {name: current.models[name] for name in hidden}
        for name in names:
            model = self._newest(name, current.models.get(name))
            if model is not None:
                models[name] = model
        self._refused = {
            (name, version): refusal
            for (name, version), refusal in self._refused.items()
            if version in self._versions(name)
        }
        refused = tuple(
            Refusal(name, version, error)
            for (name, version), (_, error) in sorted(self._refused.items())
        )
        models = dict(sorted(models.items()))
        found = replace(self._with_index(current), models=models, refused=refused)
        return current if found == current else found

    def rebuild(self, current: Catalogue, name: str) -> Catalogue:
        """The catalogue with one model loaded anew, in the version it has.

        Raises:
            StoreError, InferenceError: It cannot be loaded any more; engines may raise others.
        """
        if name not in current.models:
            return current
        model = self._load(name, current.models[name].version)
        return replace(current, models={**current.models, name: model})

    def _with_index(self, current: Catalogue) -> Catalogue:
        try:
            index = self._store.index()
        except StoreError as error:
            _logger.warning("default and aliases stay as they are", exc_info=error)
            return replace(current, default=self._default or current.default)
        return replace(current, default=self._default or index.default, aliases=index.aliases)

    def _newest(self, name: str, loaded: LoadedModel | None) -> LoadedModel | None:
        versions = self._versions(name)
        for version in reversed(versions):
            if loaded is not None and loaded.version == version:
                return loaded
            fingerprint = _fingerprint(self._store.root / name / str(version))
            known = self._refused.get((name, version))
            if known is not None and known[0] == fingerprint:
                continue
            try:
                model = self._load(name, version)
            # Whatever is wrong with one model (also: the device's memory is full), the others and
            # the version that serves now must go on.
            except Exception as error:
                _logger.exception("model refused", extra=fields(model=name, version=version))
                self._refuse(name, version, fingerprint, error)
            else:
                self._refused.pop((name, version), None)
                return model
        return loaded if loaded and (loaded.version in versions or self._hidden(name)) else None

    def _versions(self, name: str) -> list[int]:
        try:
            return self._store.versions(name)
        except OSError:
            return []

    def _hidden(self, name: str) -> bool:
        """Whether a model is there and cannot be looked at."""
        try:
            self._store.versions(name)
        except OSError as error:
            _logger.warning("model '%s' cannot be read any more", name, exc_info=error)
            return True
        return False

    def _load(self, name: str, version: int) -> LoadedModel:
        checkpoint = self._store.load(name, version)
        expected = _reference(checkpoint)
        engine = make_engine(
            checkpoint,
            engine=self._engine,
            device=self._device,
            precision=self._precision,
            threads=self._threads,
            cache=self._cache,
        )
        try:
            engine.warm_up(self._max_batch)
            _probe(engine, checkpoint, expected)
        except BaseException:
            engine.close()
            raise
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

    def _refuse(self, name: str, version: int, files: _Fingerprint, error: Exception) -> None:
        # The messages of Twinlens' own errors are for users; others may say anything.
        message = (
            str(error)
            if isinstance(error, (StoreError, InferenceError))
            else f"{type(error).__name__}: {error}"
        )
        self._refused[name, version] = (files, message)
        self._metrics.model_load(name, loaded=False)


def _reference(checkpoint: Checkpoint) -> dict[Side, Features]:
    """What the network itself makes of the probe, before an engine takes it over."""
    batch = torch.from_numpy(_probe_image(checkpoint))
    with torch.inference_mode():
        return {
            side: checkpoint.network.features(batch, side).numpy()
            for side in sides(checkpoint.network)
        }


def _probe(engine: Engine, checkpoint: Checkpoint, expected: dict[Side, Features]) -> None:
    """Refuses an engine that does not do what the network does."""
    manifest = checkpoint.manifest
    model = f"model '{manifest.name}' version {manifest.version}"
    for side, reference in expected.items():
        rows = engine.features(_probe_image(checkpoint), side)
        if rows.shape != (1, manifest.dimension) or not np.isfinite(rows).all():
            raise InferenceError(
                f"{model} gives no finite embeddings of {manifest.dimension} values; train it again"
            )
        off = float(np.linalg.norm(rows - reference))
        if off > _TOLERANCE * float(np.linalg.norm(reference)):
            raise InferenceError(
                f"{model} gives another embedding of a known image in engine {engine.name} on "
                f"{engine.device} than its network does (off by {off:.3g}); choose another engine"
            )


def _probe_image(checkpoint: Checkpoint) -> UInt8Batch:
    """One image that is the same everywhere: slanting stripes of every brightness."""
    height, width, channels = checkpoint.manifest.preprocessing.shape
    y, x, channel = np.mgrid[0:height, 0:width, 0:channels]
    image: UInt8Batch = ((5 * x + 3 * y + 85 * channel) % 256).astype(np.uint8)
    return image[None]


def _fingerprint(folder: Path) -> _Fingerprint:
    """Changes when a file of the folder does."""
    found = []
    try:
        for file in sorted(folder.iterdir()):
            status = file.stat()
            found.append((file.name, status.st_size, status.st_mtime_ns))
    except OSError:
        pass
    return tuple(found)
