"""An engine serves only if it computes what the network that was saved did."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from app.inference.catalogue import Catalogue
from app.inference.engines import Engine
from app.inference.engines.base import ONE_AT_A_TIME
from app.inference.engines.torch_cpu import TorchCpuEngine
from model_store import Checkpoint, ModelStore
from model_store.network import Side
from model_store.network.branch import Branch
from model_store.probe import Probe
from tests.app.inference.loading import loader, on_torch
from tests.app.material import fill_store, network
from tests.tiny import without_probe


def test_an_engine_that_computes_something_else_is_refused(tmp_path) -> None:
    class Off:
        def __init__(self, engine: Engine) -> None:
            self._engine = engine
            self.name, self.device, self.precision = "off", "cpu", "float32"
            self.concurrency = ONE_AT_A_TIME

        def __getattr__(self, name: str) -> object:
            return getattr(self._engine, name)

        def features(self, batch: np.ndarray, side: Side) -> np.ndarray:
            return self._engine.features(255 - batch, side)

    subject = loader(fill_store(tmp_path), make=lambda checkpoint: Off(on_torch(checkpoint)))
    found = subject.update(Catalogue())
    assert not found.models
    assert all(
        "another embedding of a known image" in refusal.error
        for refusal in found.refused
        if refusal.name != "broken"
    )


def saved_elsewhere(store: ModelStore, seed: int) -> None:
    """A version of `tiny` of which another machine made something else when it saved it."""
    made = network(seed=seed)
    own = Probe.of(made)
    features = {side: 1.01 * rows for side, rows in own.features.items()}
    store.save("tiny", made, probe=replace(own, features=features, torch="1.2.3"))


def test_a_stored_probe_that_is_not_reproduced_is_refused_and_the_old_version_goes_on(
    tmp_path,
) -> None:
    store = ModelStore(tmp_path)
    store.save("tiny", network())
    subject = loader(store)
    first = subject.update(Catalogue())
    saved_elsewhere(store, seed=1)
    second = subject.update(first)
    assert second.models["tiny"] is first.models["tiny"]
    (refusal,) = second.refused
    assert (refusal.name, refusal.version) == ("tiny", 2)
    assert "than when it was saved" in refusal.error
    assert "PyTorch 1.2.3 in float32" in refusal.error
    assert "lengths off by 1.0%" in refusal.error
    assert "train or import it again" in refusal.error


def test_a_layer_that_was_changed_since_is_noticed(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(tmp_path)
    store.save("tiny", network())
    real = Branch.features
    monkeypatch.setattr(Branch, "features", lambda self, images: real(self, images.roll(1, 3)))
    found = loader(store).update(Catalogue())
    assert not found.models
    assert "than when it was saved" in found.refused[0].error


@pytest.mark.parametrize("right", [True, False])
def test_without_a_stored_probe_an_engine_is_held_against_its_network(
    tmp_path, monkeypatch: pytest.MonkeyPatch, right: bool
) -> None:
    store = ModelStore(tmp_path)
    without_probe(store.save("tiny", network(sides=2)).path)
    if not right:
        real = TorchCpuEngine.features
        monkeypatch.setattr(
            TorchCpuEngine, "features", lambda self, batch, side: real(self, batch, Side.LEFT)
        )
    found = loader(store).update(Catalogue())
    assert list(found.models) == (["tiny"] if right else [])
    assert not right or found.models["tiny"].engine.name == "torch"
    assert right or "than its network does" in found.refused[0].error


def test_a_network_that_gives_no_numbers_is_refused(tmp_path) -> None:
    store = ModelStore(tmp_path)
    made = network()
    with torch.no_grad():
        next(made.parameters()).fill_(float("nan"))
    store.save("tiny", made)
    found = loader(store).update(Catalogue())
    assert "no finite embeddings of 16 values; train it again" in found.refused[0].error


class Cold:
    """An engine that remembers for how many images it was warmed up, and whether it was closed.

    Args:
        engine: What it is otherwise.
        sound: Whether it computes what that does.
    """

    def __init__(self, engine: Engine, *, sound: bool = True) -> None:
        self._engine = engine
        self._sound = sound
        self.warm_for = 0
        self.closed = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def features(self, batch: np.ndarray, side: Side) -> np.ndarray:
        return self._engine.features(batch if self._sound else 255 - batch, side)

    def warm_up(self, max_batch: int) -> None:
        self.warm_for = max_batch

    def close(self) -> None:
        self.closed = True
        self._engine.close()


@pytest.mark.parametrize("sound", [True, False])
def test_an_engine_is_warm_before_it_serves_and_closed_if_it_may_not(tmp_path, sound: bool) -> None:
    store = ModelStore(tmp_path)
    store.save("tiny", network())
    made: list[Cold] = []

    def make(checkpoint: Checkpoint) -> Engine:
        made.append(Cold(on_torch(checkpoint), sound=sound))
        return made[-1]

    found = loader(store, make=make).update(Catalogue())
    assert list(found.models) == (["tiny"] if sound else [])
    assert [(engine.warm_for, engine.closed) for engine in made] == [(2, not sound)]
