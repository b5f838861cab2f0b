"""Brings a catalogue up to date with the store: new versions in beside the old, then a switch."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from app.inference.catalogue import Catalogue, LoadedModel, Refusal
from app.inference.engines import Engine, make_engine, sides
from app.inference.errors import InferenceError
from app.observability.logs import fields
from app.observability.metrics import Metrics
from model_store import Checkpoint, ModelStore
from model_store.errors import StoreError

_logger = logging.getLogger(__name__)

_Fingerprint = tuple[tuple[str, int, int], ...]


class Loader:
    """Loads what a store holds. Used by one thread at a time.

    Args:
        store: Where models are.
        default: Goes before the store's own default model.
        engine: As the `ENGINE` setting.
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
        engine: Literal["auto", "torch"],
        device: str,
        threads: int,
        max_batch: int,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._default = default
        self._engine: Literal["auto", "torch"] = engine
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
            if current.models and not names:
                _logger.warning("%s holds no model any more; nothing changes", self._store.root)
                return current
            models = {
                name: model
                for name in names
                if (model := self._newest(name, current.models.get(name))) is not None
            }
        except (OSError, StoreError) as error:
            _logger.warning("the model store cannot be read; nothing changes", exc_info=error)
            return current
        here = {(name, version) for name in names for version in self._store.versions(name)}
        self._refused = {key: value for key, value in self._refused.items() if key in here}
        refused = tuple(
            Refusal(name, version, error)
            for (name, version), (_, error) in sorted(self._refused.items())
        )
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
        for version in reversed(self._store.versions(name)):
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
        return loaded if loaded and loaded.version in self._store.versions(name) else None

    def _load(self, name: str, version: int) -> LoadedModel:
        checkpoint = self._store.load(name, version)
        engine = make_engine(
            checkpoint, engine=self._engine, device=self._device, threads=self._threads
        )
        try:
            engine.warm_up(self._max_batch)
            _probe(engine, checkpoint)
        except BaseException:
            engine.close()
            raise
        self._metrics.model_load(name, loaded=True)
        _logger.info(
            "model loaded",
            extra=fields(model=name, version=version, engine=engine.name, device=engine.device),
        )
        return LoadedModel(checkpoint.manifest, checkpoint.network, engine)

    def _refuse(self, name: str, version: int, files: _Fingerprint, error: Exception) -> None:
        # The messages of Twinlens' own errors are for users; others may say anything.
        message = (
            str(error)
            if isinstance(error, (StoreError, InferenceError))
            else f"{type(error).__name__}: {error}"
        )
        self._refused[name, version] = (files, message)
        self._metrics.model_load(name, loaded=False)


def _probe(engine: Engine, checkpoint: Checkpoint) -> None:
    """Refuses an engine whose features are not what the manifest says, or not finite."""
    manifest = checkpoint.manifest
    grey = np.full((2, *manifest.preprocessing.shape), 127, np.uint8)
    for side in sides(checkpoint.network):
        rows = engine.features(grey, side)
        if rows.shape != (2, manifest.dimension) or not np.isfinite(rows).all():
            raise InferenceError(
                f"model '{manifest.name}' version {manifest.version} gives no finite embeddings "
                f"of {manifest.dimension} values; train it again"
            )


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
