"""Which classes the weights that a training starts from have seen."""

import os
import shutil

import pytest

from model_store.manifest import Provenance
from model_store.shipped import SHIPPED, SHIPPED_MODELS
from model_store.store import ModelStore
from tests.training.small import network
from training.data.split import SPLIT_FILE, Split
from training.initialise import start_learnt, told_by_recipe
from training.recipe import Start
from training.recipe.files import load_recipe


def split(**more) -> Split:
    given = {"train": ("a", "b"), "validation": ("c",), "calibration": ("d",), **more}
    return Split(seed=0, unit="class", train_digest="0", **given)


def test_those_of_a_users_model_and_of_what_that_started_from(store):
    saved = split(start_learnt=("b", "z")).to_json()
    place = store.save("mine", network(), files={"split.json": saved}).path
    store.set_alias("live", "mine")
    for model in ("mine", "live", str(place)):
        assert start_learnt(Start(model=model), store) == ("a", "b", "z")


@pytest.mark.parametrize("content", [b"{}", split(start_learnt=None).to_json(), None])
def test_they_are_not_known_where_nothing_is_recorded(store, content):
    store.save("mine", network(), files={} if content is None else {"split.json": content})
    assert start_learnt(Start(model="mine"), store) is None
    assert start_learnt(Start(backbone="weights.pth"), store) is None
    assert start_learnt(Start(backbone="imagenet", right_backbone="weights.pth"), store) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs mkfifo")
def test_nobody_waits_for_a_pipe(store):
    os.mkfifo(store.save("mine", network()).path / SPLIT_FILE)
    assert start_learnt(Start(model="mine"), store) is None


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


def test_a_model_from_before_that_was_refined_under_its_own_name_ends_in_no_circle(store):
    recipe = load_recipe("images", ["start={model: mine}"]).model_dump(mode="json")
    old = split().model_dump_json(exclude={"start_learnt"}).encode()
    for _ in range(2):
        store.save("mine", network(), provenance=Provenance(recipe=recipe), files={SPLIT_FILE: old})
    assert start_learnt(Start(model="mine"), store) is None


def test_what_was_fitted_to_nothing_has_learnt_what_its_start_had():
    recipe = load_recipe("faces", []).model_dump(mode="json")
    old = Split.from_json(split().model_dump_json(exclude={"start_learnt", "untrained"}).encode())
    assert told_by_recipe(old, recipe).learnt == ()
    for fitted in ("max_steps=5", "finish={projection: whitening}"):
        words = [fitted, "network.branches.0.projection=8"]
        other = load_recipe("faces", words).model_dump(mode="json")
        assert told_by_recipe(old, other).learnt == ("a", "b")
    known = split(start_learnt=("b", "z"), untrained=True)
    assert told_by_recipe(known, {}) == known
    assert known.learnt == ("b", "z")
    assert split(untrained=True, validation=("a",)).seen == ()


@pytest.mark.parametrize("recipe", [{}, {"start": {"unheard": 1}}])
def test_of_a_recipe_that_cannot_be_read_nothing_is_known(recipe):
    old = Split.from_json(split().model_dump_json(exclude={"start_learnt"}).encode())
    told = told_by_recipe(old, recipe)
    assert told.start_learnt is None
    assert not told.all_new


@pytest.mark.parametrize("name", SHIPPED_MODELS)
def test_the_shipped_models_are_those_that_are_committed_and_no_others_of_their_names(store, name):
    manifest = ModelStore(SHIPPED).manifest(name, 1)
    assert manifest.weights.sha256 == SHIPPED_MODELS[name]
    store.save(name, network())
    assert start_learnt(Start(model=name), store) is None


@pytest.mark.parametrize("start", [Start(), Start(backbone="imagenet")])
def test_what_anybody_can_have_has_seen_none(store, start):
    assert start_learnt(start, store) == ()


@pytest.mark.parametrize(
    ("name", "classes", "one"),
    [("glyphs", 964, "Greek/character01"), ("groceries", 81, "Golden-Delicious")],
)
def test_what_ships_has_seen_public_data_that_its_user_may_have(store, name, classes, one):
    shipped = SHIPPED / name / "1"
    shutil.copytree(shipped, store.root / name / "1")
    for model in (str(shipped), name):
        learnt = start_learnt(Start(model=model), store)
        assert len(learnt) == classes
        assert one in learnt


def test_what_is_brought_in_has_seen_none_though_no_split_is_beside_it(store, monkeypatch):
    place = store.save("photos", network()).path
    monkeypatch.setattr("training.initialise.shipped.template", lambda _: store.manifest("photos"))
    assert start_learnt(Start(model="photos"), store) == ()
    (place / SPLIT_FILE).write_text("{}")
    assert start_learnt(Start(model="photos"), store) is None
