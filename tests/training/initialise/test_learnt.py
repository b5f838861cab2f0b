"""Which classes the weights that a training starts from have seen."""

import pytest

from model_store.manifest import Provenance
from model_store.store import SHIPPED
from tests.training.small import network
from training.data.split import Split
from training.initialise import start_learnt
from training.recipe import Start
from training.recipe.files import load_recipe


def split(**more) -> Split:
    given = {"train": ("a", "b"), "validation": ("c",), "calibration": ("d",), **more}
    return Split(seed=0, unit="class", train_digest="0", **given)


def test_those_of_a_users_model_and_of_what_that_started_from(store):
    saved = split(start_learnt=("b", "z")).to_json()
    place = store.save("mine", network(), files={"split.json": saved}).path
    for model in ("mine", str(place)):
        assert start_learnt(Start(model=model), store) == ("a", "b", "z")


@pytest.mark.parametrize("content", [b"{}", split(start_learnt=None).to_json(), None])
def test_they_are_not_known_where_nothing_is_recorded(store, content):
    store.save("mine", network(), files={} if content is None else {"split.json": content})
    assert start_learnt(Start(model="mine"), store) is None
    assert start_learnt(Start(backbone="weights.pth"), store) is None
    assert start_learnt(Start(backbone="imagenet", right_backbone="weights.pth"), store) is None


@pytest.mark.parametrize(
    ("start", "known"),
    [("null", True), ("imagenet", True), ("{model: gone}", False), ("{backbone: w.pth}", False)],
)
def test_of_a_model_from_before_that_was_recorded_its_recipe_tells(store, start, known):
    recipe = load_recipe("images", [f"start={start}"])
    old = split().model_dump_json(exclude={"start_learnt"}).encode()
    provenance = Provenance(recipe=recipe.model_dump(mode="json"))
    store.save("old", network(), provenance=provenance, files={"split.json": old})
    assert start_learnt(Start(model="old"), store) == (("a", "b") if known else None)


@pytest.mark.parametrize(
    "start", [Start(), Start(backbone="imagenet"), Start(model=str(SHIPPED / "glyphs" / "1"))]
)
def test_what_anybody_can_have_has_seen_none(store, start):
    assert start_learnt(start, store) == ()
