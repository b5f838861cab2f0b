"""Where pairs can be crossed, and where what calibrates might have seen the images."""

import shutil
from collections.abc import Collection
from pathlib import Path

import pytest

from model_store.errors import ModelNotFound
from model_store.shipped import SHIPPED
from model_store.store import ModelStore
from tests.training.small import network
from training.crossing import can_cross
from training.recipe import Recipe
from training.recipe.files import load_recipe


class TestCanCross:
    def test_what_is_fitted_in_closed_form_or_not_at_all(self):
        assert can_cross_at_home(load_recipe("portraits"))
        assert can_cross_at_home(load_recipe("faces"))
        assert can_cross_at_home(load_recipe("photos", ["max_steps=0"]))
        shipped = SHIPPED / "glyphs" / "1"
        assert can_cross_at_home(load_recipe("glyphs", ["max_steps=0", f"start.model={shipped}"]))

    @pytest.mark.parametrize(
        ("recipe", "values"),
        [
            ("photos", ["max_steps=1"]),
            ("groceries", ["max_steps=0"]),
            ("pseudo-siamese", ["max_steps=0"]),
            ("portraits", ["data.turned_classes=true", "preprocessing.height=160"]),
            ("photos", ["max_steps=0", "start.backbone=mine.pth"]),
        ],
        ids=["trained", "finished", "two sides", "turned classes", "weights of unknown origin"],
    )
    def test_what_is_not(self, recipe, values):
        assert not can_cross_at_home(load_recipe(recipe, values))

    @pytest.mark.parametrize("named", ["by name", "by alias", "by folder", "by relative folder"])
    def test_what_ships_may_be_had_from_any_store(self, tmp_path, monkeypatch, named):
        shutil.copytree(SHIPPED / "glyphs", tmp_path / "glyphs")
        monkeypatch.chdir(tmp_path)
        store = ModelStore(tmp_path)
        store.set_alias("live", "glyphs")
        model = {
            "by alias": "live",
            "by folder": f"{tmp_path}/glyphs/1",
            "by relative folder": "glyphs/1",
        }.get(named, "glyphs")
        recipe = load_recipe("glyphs", ["max_steps=0", f"start.model={model}"])
        assert can_cross(recipe, store, "ab")

    def test_not_what_ships_where_it_was_trained_on_classes_of_these_names(self):
        recipe = load_recipe("glyphs", ["max_steps=0", f"start.model={SHIPPED / 'glyphs' / '1'}"])
        assert not can_cross_at_home(recipe, ["a", "Greek/character01"])
        assert can_cross_at_home(recipe, ["a", "Avesta/character01"])

    def test_a_model_of_the_users_own_may_have_seen_the_images(self, tmp_path: Path):
        store = ModelStore(tmp_path)
        for name in ("glyphs", "mine"):
            place = store.save(name, network()).path
            for model in (name, str(place)):
                recipe = load_recipe("glyphs", ["max_steps=0", f"start.model={model}"])
                assert not can_cross(recipe, store, "ab")

    def test_a_later_version_of_what_ships_is_a_users(self, tmp_path, monkeypatch):
        shutil.copytree(SHIPPED / "glyphs" / "1", tmp_path / "glyphs" / "1")
        store = ModelStore(tmp_path)
        place = store.save("glyphs", network()).path
        monkeypatch.setattr("training.initialise.shipped.SHIPPED", tmp_path)
        for model, shipped in ((place.with_name("1"), True), (place, False)):
            recipe = load_recipe("glyphs", ["max_steps=0", f"start.model={model}"])
            assert can_cross(recipe, store, "ab") is shipped

    def test_where_what_ships_was_taken_away_what_has_its_name_is_a_users(
        self, tmp_path, monkeypatch
    ):
        store = ModelStore(tmp_path / "own")
        store.save("glyphs", network())
        monkeypatch.setattr("training.initialise.shipped.SHIPPED", tmp_path / "nothing")
        recipe = load_recipe("glyphs", ["max_steps=0", "start.model=glyphs"])
        assert not can_cross(recipe, store, "ab")

    def test_one_that_is_not_there_is_said_to_be_missing(self, tmp_path):
        recipe = load_recipe("glyphs", ["max_steps=0", "start.model=nothing"])
        with pytest.raises(ModelNotFound, match="nothing"):
            can_cross(recipe, ModelStore(tmp_path), "ab")


def can_cross_at_home(recipe: Recipe, names: Collection[str] = "ab") -> bool:
    return can_cross(recipe, ModelStore(), names)
