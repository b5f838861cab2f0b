import re
import shutil
from pathlib import Path

import pytest

from model_store import ModelStore, imports
from model_store.errors import ModelNotFound
from model_store.imports import import_model, importable, template
from model_store.manifest import Evaluation
from model_store.shipped import IMPORTED_MODELS
from tests import tiny

MEASURED = (Evaluation(protocol="verification", data="mine", figures={"auc": 0.9}),)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    store = ModelStore(tmp_path_factory.mktemp("imported"))
    assert import_model("photos", store).told == ""
    return store


@pytest.fixture
def store(imported: ModelStore, tmp_path: Path) -> ModelStore:
    """A copy of it, to be changed."""
    shutil.copytree(imported.root, tmp_path / "store")
    return ModelStore(tmp_path / "store")


def test_photos_is_imported_once_and_reproduces_its_manifest(imported: ModelStore):
    again = import_model("photos", imported)
    assert (again.reference, again.told) == (imported.find("photos", 1), "")
    assert imported.versions("photos") == [1], "the second import finds nothing to do"
    loaded = imported.load("photos")
    expected = template("photos")
    assert loaded.manifest.model_copy(update={"version": expected.version}) == expected
    assert loaded.manifest.calibration is not None


def test_what_a_user_made_of_it_goes_on_answering(store: ModelStore):
    calibration = template("photos").calibration
    assert calibration is not None
    store.revise("photos", 1, evaluations=MEASURED)
    store.revise("photos", 2, calibration=calibration.model_copy(update={"threshold": 0.5}))
    kept = import_model("photos", store)
    assert kept.reference == store.find("photos", 3)
    assert "what Twinlens ships is version 1" in kept.told
    shutil.rmtree(store.root / "photos" / "1")
    kept = import_model("photos", store)
    assert "measured or trained since" in kept.told
    assert f"move {store.root / 'photos'} out" in kept.told
    assert store.versions("photos") == [2, 3]


def test_a_users_own_model_of_that_name_goes_on_answering(tmp_path: Path):
    store = ModelStore(tmp_path)
    mine = store.save("photos", tiny.network())
    kept = import_model("photos", store)
    assert kept.reference == mine
    assert "stays" in kept.told
    assert store.versions("photos") == [1]


def test_an_alias_of_that_name_goes_on_answering(tmp_path: Path):
    store = ModelStore(tmp_path)
    mine = store.save("mine", tiny.network())
    store.set_alias("photos", "mine")
    kept = import_model("photos", store)
    assert kept.reference == mine
    assert "'photos' is an alias of it" in kept.told
    assert store.versions("photos") == []


@pytest.mark.parametrize("changed", [False, True])
def test_what_another_twinlens_ships_answers_unless_the_user_has_changed_what_was_there(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, changed: bool
):
    newer = template("photos").model_copy(update={"description": "of a later release"})
    monkeypatch.setattr(imports, "template", lambda _: newer)
    if changed:
        store.revise("photos", 1, evaluations=MEASURED)
    found = import_model("photos", store)
    assert found.reference == store.find("photos", 2)
    assert ("stays" in found.told) == changed
    assert (store.manifest("photos").description == newer.description) != changed
    assert import_model("photos", store) == found
    assert store.versions("photos") == [1, 2]


@pytest.mark.parametrize("file", ["manifest.json", "weights.safetensors"])
def test_a_version_that_cannot_be_read_is_no_import_and_does_not_answer(
    store: ModelStore, file: str
):
    damaged = store.revise("photos", 1, evaluations=MEASURED)
    (damaged.path / file).write_text("{}")
    found = import_model("photos", store)
    assert (found.reference, found.told) == (store.find("photos", 1), "")
    (store.root / "photos" / "1" / file).write_text("{}")
    assert import_model("photos", store).reference.version == 3


def test_a_store_without_it_says_how_to_bring_it_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    store = ModelStore(tmp_path / "my models")
    for name in importable():
        advice = f"python -m model_store import {name} --store '{store.root}'"
        with pytest.raises(ModelNotFound, match=re.escape(advice)):
            store.find(name)
    with pytest.raises(ModelNotFound, match=r"\(models there: none\)$"):
        store.find("mine")
    with pytest.raises(ModelNotFound, match=f"photos --store {tmp_path}/-s$"):
        ModelStore(Path("-s")).find("photos")


def test_every_importable_model_has_its_manifest():
    assert importable() == sorted(IMPORTED_MODELS)
    for name in importable():
        assert template(name).name == name
