"""Whether a model to start from is one that Twinlens ships."""

import pytest

from model_store import manifest as manifests
from model_store.checkpoint import MANIFEST
from model_store.imports import importable, template
from model_store.shipped import SHIPPED, SHIPPED_MODELS
from model_store.store import ModelStore
from tests.training import small
from training.initialise import is_shipped, shipped_model


@pytest.mark.parametrize("name", importable())
def test_an_imported_model_is_one_by_its_weights_alone(tmp_path, name):
    store = ModelStore(tmp_path)
    folder = tmp_path / name / "1"
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_bytes(manifests.to_bytes(template(name)))
    assert is_shipped(name, store)
    assert is_shipped(str(folder), store)
    store.save(name, small.network())
    assert not is_shipped(name, store), "a model of the user's, under the same name"


@pytest.mark.parametrize("name", SHIPPED_MODELS)
def test_so_is_one_that_comes_along(tmp_path, name):
    assert is_shipped(str(shipped_model(name).path), ModelStore(tmp_path))
    assert is_shipped(name, ModelStore(SHIPPED))
    store = ModelStore(tmp_path)
    store.save(name, small.network())
    assert not is_shipped(name, store)
