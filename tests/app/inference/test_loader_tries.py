"""When the loader tries again what it could not load."""

import itertools
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.inference import loader as module
from app.inference.catalogue import Catalogue
from app.inference.engines import Engine
from app.inference.errors import EngineHung
from model_store import Checkpoint, ModelStore, checkpoint
from model_store.errors import StoreError
from model_store.files import NoSuchData
from model_store.manifest import Manifest
from tests.app.inference.loading import loader, on_torch
from tests.app.material import fill_store, network


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time that the loader goes by, which stands still."""
    shown = SimpleNamespace(now=0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: shown.now))
    return shown


def test_what_failed_for_a_reason_outside_its_files_is_tried_again(
    tmp_path, clock: SimpleNamespace
) -> None:
    store = ModelStore(tmp_path)
    store.save("tiny", network())
    clock.now = 100
    tried: list[int] = []

    def make(checkpoint: Checkpoint) -> Engine:
        tried.append(clock.now)
        if len(tried) <= 4:
            raise RuntimeError("the device process has ended")
        return on_torch(checkpoint)

    subject = loader(store, make=make)
    found = subject.update(Catalogue())
    assert "the device process has ended" in found.refused[0].error
    for clock.now in range(101, 140):
        found = subject.update(found)
    assert tried == [100, 105, 115, 135], "after ever longer times"
    found = subject.update(found, at_once=True)
    assert found.models["tiny"].version == 1
    assert not found.refused


def test_a_file_that_was_missing_for_a_moment_is_looked_for_again(
    tmp_path, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(tmp_path / "store")
    store.save("tiny", network())
    subject = loader(store)
    first = subject.update(Catalogue())
    weights = store.save("tiny", network(seed=1)).path / "weights.safetensors"
    real = checkpoint.read_weights

    def away(folder: Path, manifest: Manifest) -> object:
        monkeypatch.setattr(checkpoint, "read_weights", real)
        weights.rename(tmp_path / "aside")
        try:
            return real(folder, manifest)
        finally:
            (tmp_path / "aside").rename(weights)

    monkeypatch.setattr(checkpoint, "read_weights", away)
    clock.now = 100
    found = subject.update(first)
    assert found.models["tiny"].version == 1
    assert "weights.safetensors" in found.refused[0].error
    clock.now = 104
    assert subject.update(found).models["tiny"].version == 1
    clock.now = 105
    assert subject.update(found).models["tiny"].version == 2


def test_what_was_refused_is_tried_again_when_a_file_of_it_is_touched(
    tmp_path, clock: SimpleNamespace
) -> None:
    store = ModelStore(tmp_path)
    path = store.save("tiny", network()).path
    failures = iter(["memory is short"])

    def make(checkpoint: Checkpoint) -> Engine:
        for failure in failures:
            raise RuntimeError(failure)
        return on_torch(checkpoint)

    subject = loader(store, make=make)
    found = subject.update(subject.update(Catalogue()))
    assert [refusal.name for refusal in found.refused] == ["tiny"]
    (path / "manifest.json").touch()
    assert subject.update(found).models["tiny"].version == 1


def test_what_cannot_be_read_now_is_tried_again_and_what_is_wrong_in_itself_is_not(
    tmp_path, clock: SimpleNamespace
) -> None:
    store = ModelStore(tmp_path)
    store.save("tiny", network())
    pipe = NoSuchData(22, "it is a pipe")
    for cause, tries in ((OSError(5, "Input/output error"), 2), (None, 1), (pipe, 1)):
        tried = 0

        def make(checkpoint: Checkpoint, cause: OSError | None = cause) -> Engine:
            nonlocal tried
            tried += 1
            raise StoreError("the weights cannot be read") from cause

        subject = loader(store, make=make)
        found = subject.update(Catalogue())
        clock.now += 6
        found = subject.update(found)
        assert [refusal.error for refusal in found.refused] == ["the weights cannot be read"]
        assert tried == tries
        # Who asks for it may know better.
        subject.update(found, at_once=True)
        assert tried == tries + 1


def test_between_two_tries_there_are_ten_minutes_at_most(tmp_path, clock: SimpleNamespace) -> None:
    store = ModelStore(tmp_path)
    store.save("tiny", network())
    tried: list[int] = []

    def make(checkpoint: Checkpoint) -> Engine:
        tried.append(clock.now)
        raise RuntimeError("the device process has ended")

    subject, found = loader(store, make=make), Catalogue()
    for clock.now in range(0, 4000, 5):
        found = subject.update(found)
    assert tried[:4] == [0, 5, 15, 35]
    assert [later - before for before, later in itertools.pairwise(tried)][-3:] == [600] * 3


def test_a_look_tells_from_when_the_next_may_find_what_it_missed(
    tmp_path, clock: SimpleNamespace
) -> None:
    store = ModelStore(tmp_path / "store")
    for seed in (0, 1, 2):
        store.save("tiny", network(seed=seed))
    short = {2, 3}

    def make(checkpoint: Checkpoint) -> Engine:
        if checkpoint.manifest.version in short:
            raise RuntimeError("memory is short")
        return on_torch(checkpoint)

    subject = loader(store, make=make)
    found = subject.update(Catalogue())
    assert (found.models["tiny"].version, subject.retry) == (1, 5)
    clock.now = 3
    aside = store.root.rename(tmp_path / "aside")
    subject.update(found)
    assert subject.retry == 8, "a store that seems to be lost may be there again"
    aside.rename(store.root)
    short.clear()
    clock.now = 8
    found = subject.update(found)
    assert found.models["tiny"].version == 3
    assert subject.retry == math.inf, "nobody wants version 2 any more"


def test_when_the_device_hangs_each_further_model_waits_for_the_next_look(
    tmp_path, clock: SimpleNamespace
) -> None:
    store = fill_store(tmp_path)
    hangs: set[str] = set()
    tried: list[str] = []

    def make(checkpoint: Checkpoint) -> Engine:
        tried.append(checkpoint.manifest.name)
        if tried[-1] in hangs:
            raise EngineHung("no answer")
        return on_torch(checkpoint)

    subject = loader(store, make=make)
    first = subject.update(Catalogue())
    assert subject.hung is None
    for name in ("ordered", "plain", "tiny"):
        store.save(name, network(seed=10))
    hangs.add("plain")
    tried.clear()
    second = subject.update(first)
    assert subject.hung == "no answer"
    assert tried == ["ordered", "plain"]
    versions = {name: model.version for name, model in second.models.items()}
    assert versions == {"ordered": 2, "plain": 1, "sided": 1, "tiny": 1}
    hangs.clear()
    clock.now += 6
    third = subject.update(second)
    assert subject.hung is None
    assert {third.models[name].version for name in ("plain", "tiny")} == {2}
