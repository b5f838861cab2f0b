"""Defaults and aliases, as the store has them."""

import pytest

from app.inference.catalogue import Catalogue
from app.inference.errors import UnknownModel
from model_store import ModelStore
from tests.app.inference.loading import loader
from tests.app.material import fill_store, network


def test_default_and_aliases_follow_the_store(tmp_path) -> None:
    store = fill_store(tmp_path)
    subject = loader(store)
    first = subject.update(Catalogue())
    store.set_default("plain")
    store.set_alias("small", "plain")
    second = subject.update(first)
    assert second.find(None).name == second.find("small").name == "plain"
    (tmp_path / "store.json").write_text("{")
    assert subject.update(second) is second
    assert loader(store, default="sided").update(Catalogue()).find(None).name == "sided"


def test_an_index_that_cannot_be_read_is_said_once_each_time(
    tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    subject = loader(fill_store(tmp_path))
    index = tmp_path / "store.json"
    good, found = index.read_text(), Catalogue()
    for times in (1, 2):
        index.write_text("{")
        for _ in range(3):
            found = subject.update(found)
        said = [record for record in caplog.records if "stay as they are" in record.getMessage()]
        assert len(said) == times
        assert str(index) in said[-1].getMessage()
        assert said[-1].exc_info is None
        index.write_text(good)
        found = subject.update(found)
        assert found.find(None).name == "tiny"


def test_a_models_own_name_goes_before_an_alias_for_the_default_too(tmp_path) -> None:
    store = fill_store(tmp_path)
    # As one that knew nothing of the alias has put it there.
    ModelStore(tmp_path / ".other").save("small", network(seed=10))
    (tmp_path / ".other" / "small").rename(tmp_path / "small")
    found = loader(store, default="small").update(Catalogue())
    assert found.aliases == {"small": "tiny"}
    assert found.default_model == found.find(None).name == found.find("small").name == "small"
    assert found.aliases_of("tiny") == [], "no request reaches it by that name"


def test_of_several_models_without_a_default_one_is_to_be_named(tmp_path) -> None:
    store = fill_store(tmp_path)
    (tmp_path / "store.json").unlink()
    found = loader(store).update(Catalogue())
    with pytest.raises(UnknownModel, match="no default model is set; name a model: ordered, plain"):
        found.find(None)


def test_a_default_that_is_not_there_is_said(tmp_path) -> None:
    found = loader(fill_store(tmp_path), default="broken").update(Catalogue())
    with pytest.raises(UnknownModel, match="default model 'broken'"):
        found.find(None)
