"""Models loaded anew because their engine has ended."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from app.inference.catalogue import Catalogue
from app.inference.engines import Engine
from app.inference.errors import EngineGone, UnknownModel
from model_store import ModelStore, checkpoint
from model_store.errors import CheckpointDamaged, ModelNotFound
from model_store.manifest import Manifest
from tests.app.inference.loading import damage, loader
from tests.app.material import fill_store, network, store_of


def test_an_engine_that_was_rebuilt_is_not_made_once_more_at_the_next_look(tmp_path) -> None:
    subject = loader(fill_store(tmp_path))
    first = subject.update(Catalogue())
    second = subject.rebuild(first, "tiny")
    assert second.models["tiny"].engine is not first.models["tiny"].engine
    assert second.models["plain"] is first.models["plain"]
    assert subject.update(second) is second


def test_an_engine_is_not_rebuilt_of_what_was_moved_out_but_of_the_newest_that_is_left(
    tmp_path,
) -> None:
    store = store_of(tmp_path / "store", "plain", "tiny", "tiny")
    subject = loader(store)
    first = subject.update(Catalogue())
    shutil.move(store.root / "tiny" / "2", tmp_path / "out")
    second = subject.rebuild(first, "tiny")
    assert second.models["tiny"].version == 1
    assert second.models["plain"] is first.models["plain"]
    assert subject.update(second) is second


@pytest.mark.parametrize("loss", ["moved out", "damaged"])
def test_a_model_of_which_nothing_can_be_loaded_any_more_ends_with_its_engine(
    tmp_path, loss: str
) -> None:
    store = store_of(tmp_path / "store", "plain", "tiny")
    path = store.save("tiny", network(seed=1)).path
    subject = loader(store)
    first = subject.update(Catalogue())
    damage(store.root / "tiny" / "1")
    if loss == "damaged":
        damage(path)
    else:
        shutil.move(path, tmp_path / "out")
    going_on = subject.update(first)
    assert going_on.models["tiny"] is first.models["tiny"]
    found = subject.rebuild(going_on, "tiny")
    assert found.models == {"plain": first.models["plain"]}
    assert ("tiny", 1) in [(refusal.name, refusal.version) for refusal in found.refused]
    assert subject.update(found) is found


def _unlink(name: str) -> Callable[[Path], None]:
    return lambda version: (version / name).unlink()


def _dangle(version: Path) -> None:
    (version / "weights.safetensors").unlink()
    (version / "weights.safetensors").symlink_to("gone")


def _empty(version: Path) -> None:
    for file in version.iterdir():
        file.unlink()


def _begin_a_newer_one(version: Path) -> None:
    shutil.rmtree(version)
    version.with_name("3").mkdir()


@pytest.mark.parametrize(
    "harm",
    [_unlink("weights.safetensors"), _unlink("manifest.json"), _dangle, _empty, _begin_a_newer_one],
)
@pytest.mark.parametrize("older", [True, False])
def test_of_what_lacks_a_file_the_older_version_takes_over_or_the_other_models_go_on(
    tmp_path, harm: Callable[[Path], None], older: bool
) -> None:
    store = store_of(tmp_path / "store", "plain", "tiny", "tiny")
    subject = loader(store)
    first = subject.update(Catalogue())
    if not older:
        shutil.rmtree(store.root / "tiny" / "1")
    harm(store.root / "tiny" / "2")
    found = subject.rebuild(subject.update(first), "tiny")
    versions = {name: model.version for name, model in found.models.items()}
    assert versions == ({"plain": 1, "tiny": 1} if older else {"plain": 1})


def test_of_a_store_that_is_away_the_default_and_the_aliases_stay(tmp_path) -> None:
    store = store_of(tmp_path / "store", "tiny", "plain")
    store.set_alias("small", "plain")
    subject = loader(store)
    first = subject.update(Catalogue())
    store.root.rename(tmp_path / "away")
    store.root.mkdir()
    found = subject.rebuild(first, "tiny")
    assert (found.default, found.aliases) == ("tiny", {"small": "plain"})
    with pytest.raises(UnknownModel, match="the default model 'tiny' is not loaded"):
        found.find(None)


@pytest.mark.parametrize("damaged", [False, True])
def test_a_version_that_cannot_be_read_for_a_moment_is_not_given_up(
    tmp_path, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    store = store_of(tmp_path / "store", "plain", "tiny", "tiny")
    subject = loader(store)
    first = subject.update(Catalogue())
    if damaged:
        damage(store.root / "tiny" / "2")
    unreadable = 1 if damaged else 2
    real = checkpoint.read_weights

    def flaky(folder: Path, manifest: Manifest) -> object:
        if manifest.version == unreadable:
            raise CheckpointDamaged(f"{folder} cannot be read") from OSError(errno.EIO, "EIO")
        return real(folder, manifest)

    monkeypatch.setattr(checkpoint, "read_weights", flaky)
    with pytest.raises(CheckpointDamaged, match="cannot be read"):
        subject.rebuild(first, "tiny")


def test_a_device_process_that_ends_again_does_not_take_the_older_version_away(tmp_path) -> None:
    store = store_of(tmp_path / "store", "plain", "tiny", "tiny")
    subject = loader(store)
    first = subject.update(Catalogue())
    damage(store.root / "tiny" / "2")
    make = subject._make

    def gone(_: object) -> Engine:
        raise EngineGone("the device process ended")

    subject._make = gone
    with pytest.raises(EngineGone):
        subject.rebuild(first, "tiny")
    subject._make = make
    assert subject.rebuild(first, "tiny").models["tiny"].version == 1


def test_the_last_model_is_not_done_away_with(tmp_path) -> None:
    store = ModelStore(tmp_path / "store")
    path = store.save("tiny", network()).path
    subject = loader(store)
    first = subject.update(Catalogue())
    shutil.move(path, tmp_path / "out")
    with pytest.raises(ModelNotFound):
        subject.rebuild(first, "tiny")
