"""What is advised: only what the recipe does not do already, each with what to type."""

import pytest
import yaml

from tests.training.drawings import SMALL_RECIPE, write_recipe
from training.guard.advice import advice
from training.guard.collapse import Symptom
from training.recipe.files import load_recipe


@pytest.fixture
def advised(tmp_path):
    path = str(write_recipe(tmp_path / "r.yaml", SMALL_RECIPE))

    def found(*overrides: str, symptom: Symptom = Symptom.SPREAD) -> str:
        return "\n".join(advice(load_recipe(path, overrides), symptom))

    return found


@pytest.mark.parametrize(
    ("says", "does_not", "words"),
    [
        ("schedule.warm_up=0", "schedule.warm_up=0.1", "--set schedule.warm_up=0.1"),
        ("clip=null", "clip=1", "--set clip=1"),
        ("optimiser.weight_decay=0.05", "optimiser.weight_decay=0.001", "weight_decay=0.005"),
        (
            "network.branches.0.batch_norm=false",
            "network.branches.0.batch_norm=true",
            "network.branches.0.batch_norm=true",
        ),
        ("seed=1", "start.model=m", "--set start=imagenet"),
    ],
)
def test_what_the_recipe_does_already_is_not_advised(advised, says, does_not, words):
    assert words in advised(says)
    assert words not in advised(does_not)


def test_no_batch_norm_where_a_batch_may_have_one_image_of_a_side(tmp_path):
    content = yaml.safe_load(SMALL_RECIPE)
    content["network"]["branches"] = [content["network"]["branches"][0] | {"batch_norm": False}] * 2
    path = str(write_recipe(tmp_path / "two.yaml", yaml.safe_dump(content)))
    assert "batch_norm" not in "\n".join(advice(load_recipe(path), Symptom.SPREAD))
    other = load_recipe(path, ["sampling={name: classes-by-images, options: {images: 2}}"])
    assert "network.branches.1.batch_norm=true" in "\n".join(advice(other, Symptom.SPREAD))


def test_a_tenth_of_the_rate_comes_first_and_a_look_at_the_data_last(advised):
    first, *_, last = advised("optimiser.learning_rate=0.05").splitlines()
    assert first.endswith("(--set optimiser.learning_rate=0.005)")
    assert last.startswith("a look at the data")


def test_where_pairs_are_not_told_apart_more_data_and_time_are_advised(advised):
    by_chance = advised(symptom=Symptom.CHANCE)
    assert "more classes or images" in by_chance
    assert "a longer training" in by_chance
    assert "start=imagenet" not in by_chance
    assert "more classes" not in advised(symptom=Symptom.LOSS)
