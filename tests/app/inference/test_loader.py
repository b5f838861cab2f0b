import os
import shutil

import pytest

from app.inference.catalogue import Catalogue
from app.inference.errors import NotReady, UnknownModel
from app.inference.loader import Loader
from app.observability.metrics import Metrics
from model_store import ModelStore
from model_store.errors import StoreError
from tests.app.inference.loading import damage, loader, on_torch
from tests.app.material import SPEC, fill_store, network


def test_what_can_be_loaded_is_and_the_rest_is_reported(tmp_path) -> None:
    found = loader(fill_store(tmp_path)).update(Catalogue())
    assert sorted(found.models) == ["ordered", "plain", "sided", "tiny"]
    assert [(refusal.name, refusal.version) for refusal in found.refused] == [("broken", 1)]
    assert "weights.safetensors" in found.refused[0].error
    assert found.find(None).name == "tiny"
    assert found.find("small").name == "tiny"
    with pytest.raises(UnknownModel, match=r"weights\.safetensors"):
        found.find("broken")
    with pytest.raises(UnknownModel, match=r"ordered, plain, sided, small, tiny$"):
        found.find("absent")
    with pytest.raises(NotReady):
        Catalogue().find(None)


def test_nothing_new_changes_nothing(tmp_path) -> None:
    subject = loader(fill_store(tmp_path))
    first = subject.update(Catalogue())
    assert subject.update(first) is first


def test_a_new_version_takes_over_and_a_bad_one_does_not(tmp_path) -> None:
    store = fill_store(tmp_path)
    subject = loader(store)
    first = subject.update(Catalogue())
    store.save("tiny", network(seed=10))
    second = subject.update(first)
    assert second.models["tiny"].version == 2
    assert second.models["plain"] is first.models["plain"]
    damage(store.save("tiny", network(seed=11)).path)
    third = subject.update(second)
    assert third.models["tiny"] is second.models["tiny"]
    assert ("tiny", 3) in {(refusal.name, refusal.version) for refusal in third.refused}
    assert subject.update(third) is third
    store.save("tiny", network(seed=12))
    assert subject.update(third).models["tiny"].version == 4


def test_a_start_with_a_bad_newest_version_serves_the_one_before(tmp_path) -> None:
    store = ModelStore(tmp_path)
    store.save("tiny", network())
    damage(store.save("tiny", network(seed=1)).path)
    found = loader(store).update(Catalogue())
    assert found.models["tiny"].version == 1
    assert [refusal.version for refusal in found.refused] == [2]


def test_a_mended_version_is_tried_again(tmp_path) -> None:
    store = ModelStore(tmp_path)
    path = store.save("tiny", network()).path
    good = (path / "weights.safetensors").read_bytes()
    damage(path)
    subject = loader(store)
    first = subject.update(Catalogue())
    assert not first.models
    (path / "weights.safetensors").write_bytes(good)
    found = subject.update(first)
    assert found.models["tiny"].version == 1
    assert not found.refused


def test_a_version_whose_files_are_replaced_is_loaded_anew(tmp_path) -> None:
    store = ModelStore(tmp_path / "store")
    path = store.save("tiny", network()).path
    other = ModelStore(tmp_path / "other").save("tiny", network(seed=1)).path
    subject = loader(store)
    first = subject.update(Catalogue())
    assert subject.update(first) is first
    # Half of it is there: what was loaded goes on.
    shutil.copy(other / "weights.safetensors", path)
    second = subject.update(first)
    assert second.models["tiny"] is first.models["tiny"]
    assert [refusal.version for refusal in second.refused] == [1]
    for file in other.iterdir():
        shutil.copy(file, path)
    third = subject.update(second)
    assert third.models["tiny"].identity != first.models["tiny"].identity
    assert not third.refused
    assert subject.update(third) is third


def test_another_version_with_files_of_the_same_times_and_sizes_is_loaded(tmp_path) -> None:
    """As of two releases by a build that can be repeated, one of which a link names."""
    for seed, release in enumerate(("old", "new")):
        for file in ModelStore(tmp_path / release).save("tiny", network(seed=seed)).path.iterdir():
            os.utime(file, (1, 1))
    link = tmp_path / "current"
    link.symlink_to("old")
    subject = loader(ModelStore(link))
    first = subject.update(Catalogue())
    assert subject.update(first) is first
    link.unlink()
    link.symlink_to("new")
    second = subject.update(first)
    assert second.models["tiny"].identity != first.models["tiny"].identity


def test_the_same_weights_with_another_manifest_are_another_model_to_the_cache(tmp_path) -> None:
    path = ModelStore(tmp_path / "store").save("tiny", network()).path
    inverted = network(spec=SPEC.model_copy(update={"invert": True}))
    other = ModelStore(tmp_path / "other").save("tiny", inverted).path
    subject = loader(ModelStore(tmp_path / "store"))
    first = subject.update(Catalogue())
    for file in other.iterdir():
        shutil.copy(file, path)
    (before,), (after,) = first.models.values(), subject.update(first).models.values()
    assert before.manifest.weights == after.manifest.weights
    assert before.identity != after.identity


def test_a_version_that_is_damaged_while_it_serves_does_not_bring_back_an_older_one(
    tmp_path,
) -> None:
    store = ModelStore(tmp_path)
    store.save("tiny", network())
    path = store.save("tiny", network(seed=1)).path
    subject = loader(store)
    first = subject.update(Catalogue())
    damage(path)
    second = subject.update(first)
    assert second.models["tiny"] is first.models["tiny"]
    assert [refusal.version for refusal in second.refused] == [2]
    assert subject.update(second) is second


def test_going_back_to_a_version_that_is_damaged_leaves_what_serves(tmp_path) -> None:
    store = fill_store(tmp_path)
    store.save("tiny", network(seed=10))
    subject = loader(store)
    first = subject.update(Catalogue())
    assert first.models["tiny"].version == 2
    damage(store.root / "tiny" / "1")
    shutil.move(store.root / "tiny" / "2", tmp_path / "out")
    second = subject.update(first)
    assert second.models["tiny"] is first.models["tiny"]
    assert ("tiny", 1) in [(refusal.name, refusal.version) for refusal in second.refused]
    assert subject.update(second) is second
    # A start would find no version that can be loaded.
    assert (first.refused_now()["tiny"], second.refused_now()["tiny"]) == (0, 1)
    shutil.move(tmp_path / "out", store.root / "tiny" / "2")
    assert subject.update(second).refused_now()["tiny"] == 0
    shutil.rmtree(store.root / "tiny")
    assert "tiny" not in subject.update(second).models


def test_half_written_and_foreign_folders_are_no_harm(tmp_path) -> None:
    store = fill_store(tmp_path)
    subject = loader(store)
    first = subject.update(Catalogue())
    (tmp_path / "tiny" / ".incoming-1-ab").mkdir()
    (tmp_path / "tiny" / "2").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "a file").write_text("x")
    second = subject.update(first)
    assert second.models == first.models
    assert ("tiny", 2) in {(refusal.name, refusal.version) for refusal in second.refused}


def test_a_store_that_is_gone_changes_nothing(tmp_path) -> None:
    root = tmp_path / "models"
    subject = loader(fill_store(root))
    first = subject.update(Catalogue())
    root.rename(tmp_path / "elsewhere")
    assert subject.update(first) is first


def test_a_store_that_is_no_folder_is_said_once_and_what_is_loaded_goes_on(
    tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "models"
    subject = loader(fill_store(root))
    first = subject.update(Catalogue())
    shutil.rmtree(root)
    root.write_text("not a folder")
    with pytest.raises(StoreError, match="cannot be read"):
        subject.update(Catalogue())
    caplog.clear()
    assert subject.update(first) is first
    assert subject.update(first) is first
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "cannot be read" in record.getMessage()


def test_removed_models_and_versions_go(tmp_path) -> None:
    store = fill_store(tmp_path)
    store.save("tiny", network(seed=10))
    subject = loader(store)
    first = subject.update(Catalogue())
    shutil.rmtree(tmp_path / "plain")
    shutil.rmtree(tmp_path / "tiny" / "2")
    second = subject.update(first)
    assert "plain" not in second.models
    assert second.models["tiny"].version == 1


def test_an_engine_is_closed_once_nobody_uses_it(tmp_path) -> None:
    found = loader(fill_store(tmp_path)).update(Catalogue())
    model = found.models["tiny"]
    with model.used():
        model.retire()
        assert not model.engine._pool._shutdown
    assert model.engine._pool._shutdown


def test_permission_that_is_lost_keeps_what_is_loaded_and_the_rest_goes_on(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fill_store(tmp_path)
    subject = loader(store)
    first = subject.update(Catalogue())
    real = ModelStore.versions

    def versions(self: ModelStore, name: str) -> list[int]:
        # Root, whom tests in a container run as, may read everything.
        if name == "plain":
            raise PermissionError(13, "Permission denied")
        return real(self, name)

    monkeypatch.setattr(ModelStore, "versions", versions)
    store.save("tiny", network(seed=10))
    second = subject.update(first)
    assert second.models["plain"] is first.models["plain"]
    assert second.models["tiny"].version == 2
    assert sorted(loader(store).update(Catalogue()).models) == ["ordered", "sided", "tiny"]


def test_loads_and_refusals_are_counted(tmp_path) -> None:
    metrics = Metrics()
    store = fill_store(tmp_path)
    Loader(store, default=None, make=on_torch, max_batch=2, metrics=metrics).update(Catalogue())

    def counted(model: str, result: str) -> float | None:
        labels = {"model": model, "result": result}
        return metrics.registry.get_sample_value("twinlens_model_loads_total", labels)

    assert counted("tiny", "loaded") == counted("broken", "refused") == 1
    assert counted("tiny", "refused") is counted("broken", "loaded") is None


def test_a_store_that_is_lost_a_second_time_is_said_a_second_time(
    tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    root, elsewhere = tmp_path / "models", tmp_path / "elsewhere"
    subject = loader(fill_store(root))
    found = subject.update(Catalogue())
    for times in (1, 2):
        root.rename(elsewhere)
        found = subject.update(subject.update(found))
        assert caplog.text.count("holds no model any more") == times
        elsewhere.rename(root)
        found = subject.update(found)


def test_a_refusal_goes_with_the_version_it_is_of(tmp_path) -> None:
    store = fill_store(tmp_path)
    subject = loader(store)
    first = subject.update(Catalogue())
    damage(store.save("tiny", network(seed=10)).path)
    second = subject.update(first)
    assert [refusal.name for refusal in second.refused] == ["broken", "tiny"]
    shutil.rmtree(tmp_path / "tiny" / "2")
    third = subject.update(second)
    assert [refusal.name for refusal in third.refused] == ["broken"]
