from collections.abc import Iterator

import pytest

from model_store import ModelStore
from tests.training.undrawing import without_pictures


@pytest.fixture
def store(tmp_path) -> ModelStore:
    return ModelStore(tmp_path / "store")


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """Models and reports without pictures, from the first test of a module that wants it on.

    Tests that publish models by the dozen want it; TestTwoLevels and those of pictures draw them.
    """
    with without_pictures():
        yield
