"""A store that tests of a module share."""

import pytest

from model_store import ModelStore
from tests import tiny


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    store = ModelStore(tmp_path_factory.mktemp("store"))
    store.save("good", tiny.network(seed=1))
    store.save("bad", tiny.network(seed=2))
    return store
