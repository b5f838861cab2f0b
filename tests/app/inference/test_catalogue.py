"""Which model a name means, and what is said where it means none."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.inference.catalogue import Catalogue, Refusal
from app.inference.errors import UnknownModel
from model_store.network import Side
from tests.app.inference.loading import loader
from tests.app.material import fill_store


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """With a model that was refused, and an alias of it beside that of a loaded one."""
    store = fill_store(Path(tmp_path_factory.mktemp("models")))
    store.set_alias("shop", "broken")
    return loader(store).update(Catalogue())


@pytest.mark.parametrize("name", ["broken", "shop"])
def test_a_refused_model_says_why_by_each_of_its_names(catalogue: Catalogue, name: str) -> None:
    with pytest.raises(UnknownModel, match=rf"^no model '{name}' is loaded \(.*weights\."):
        catalogue.find(name)


@pytest.mark.parametrize("name", ["shop", "absent"])
def test_only_names_that_find_a_model_are_listed(catalogue: Catalogue, name: str) -> None:
    with pytest.raises(UnknownModel) as error:
        catalogue.find(name)
    listed = str(error.value).rpartition("those that are: ")[2].split(", ")
    assert listed == ["ordered", "plain", "sided", "small", "tiny"]
    assert all(catalogue.find(name) for name in listed)


def test_of_several_refused_versions_the_newest_says_why(catalogue: Catalogue) -> None:
    refused = (Refusal("broken", 9, "of old"), Refusal("broken", 10, "of late"))
    with pytest.raises(UnknownModel, match=r"is loaded \(of late\);"):
        replace(catalogue, refused=refused).find("shop")


def test_refusals_are_told_for_as_long_as_they_keep_a_version_from_answering(
    catalogue: Catalogue,
) -> None:
    none = dict.fromkeys(catalogue.models, 0)
    assert catalogue.refused_now() == {**none, "broken": 1}
    newer = (Refusal("tiny", 3, "damaged"), Refusal("tiny", 2, "damaged"))
    replaced = Refusal("tiny", catalogue.models["tiny"].version, "replaced by what is damaged")
    found = replace(catalogue, refused=(*newer, replaced)).refused_now()
    assert found == {**none, "tiny": 3}
    older = Refusal("tiny", catalogue.models["tiny"].version - 1, "damaged")
    assert replace(catalogue, refused=(older,)).refused_now() == none
    moved_out = replace(catalogue, refused=(older,), in_memory_only=frozenset({"tiny"}))
    assert moved_out.refused_now() == {**none, "tiny": 1}


def test_a_default_that_was_refused_says_why(catalogue: Catalogue) -> None:
    with pytest.raises(UnknownModel, match=r"^the default model 'shop' is not loaded \(.*weights"):
        replace(catalogue, default="shop").find(None)


def test_the_cache_has_one_string_for_a_lane_however_many_images_it_keeps(
    catalogue: Catalogue,
) -> None:
    sided, tiny = catalogue.models["sided"], catalogue.models["tiny"]
    assert sided.remembered_as(Side.LEFT) is sided.remembered_as(Side.LEFT)
    assert tiny.remembered_as(Side.LEFT) is tiny.remembered_as(Side.RIGHT)
    told_apart = {each.remembered_as(side) for each in (sided, tiny) for side in Side}
    assert len(told_apart) == 3
