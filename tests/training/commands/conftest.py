"""A store with a model that is not calibrated, and images of two groups."""

import pytest

from model_store.store import ModelStore
from tests.training import small
from tests.training.trees import grown, pngs

NAMES = [f"g{group}/c{n}/{image}.png" for group in "ab" for n in range(6) for image in range(3)]


@pytest.fixture
def store(tmp_path):
    store = ModelStore(tmp_path / "store")
    store.save("plain", small.network("cosine"))
    return store


@pytest.fixture
def images(tmp_path):
    return grown(tmp_path / "images", pngs(NAMES))
