import importlib
from collections.abc import Iterator

import pytest

from model_store import ModelStore


@pytest.fixture
def store(tmp_path) -> ModelStore:
    return ModelStore(tmp_path / "store")


@pytest.fixture(scope="class")
def undrawn() -> Iterator[None]:
    """Models without the pictures beside them, whose drawing takes four times as long as the rest.

    Tests that publish models by the dozen want it; TestTwoLevels and those of pictures draw them.
    """
    with pytest.MonkeyPatch.context() as patch:
        publishing = importlib.import_module("training.publishing.publish")
        patch.setattr(publishing, "_pictures", lambda *_: {})
        yield
