import pytest

from tests.training.drawings import write_recipe
from training.recipe.files import load_recipe
from training.recipe.tables import recipe_table, short_table


def test_every_value_of_a_recipe_is_in_its_table(tmp_path):
    recipe = load_recipe(str(write_recipe(tmp_path / "small.yaml")))
    text = recipe_table(recipe, "small")
    for key in ("description", "preprocessing.mean", "calibration.far", "loss.options"):
        assert key in text
    assert "8 x 2 a step" in short_table(recipe, "small")


@pytest.mark.parametrize(
    ("epochs", "max_steps", "told"),
    [
        (3, None, "3 epochs"),
        (None, 60, "60 steps"),
        (3, 60, "3 epochs or 60 steps, whichever is shorter"),
    ],
)
def test_how_long_it_takes_is_told(tmp_path, epochs, max_steps, told):
    recipe = load_recipe(str(write_recipe(tmp_path / "small.yaml")))
    recipe = recipe.model_copy(update={"epochs": epochs, "max_steps": max_steps})
    (line,) = (line for line in short_table(recipe, "small").splitlines() if "length" in line)
    assert line.split(maxsplit=1)[1] == told


def test_a_recipe_that_trains_nothing_says_so_and_no_more(tmp_path):
    recipe = load_recipe(str(write_recipe(tmp_path / "small.yaml")))
    text = short_table(recipe.model_copy(update={"max_steps": 0}), "small")
    assert "nothing is trained" in text
    assert "network" in text
    for word in ("epochs", "optimiser", "loss", "batch", "validation"):
        assert word not in text


@pytest.mark.parametrize(
    ("times", "validates", "told"),
    [
        (5, True, "5 times, keeps the best weights"),
        (5, False, "none, keeps the last weights"),
        (0, True, "none, keeps the last weights"),
    ],
)
def test_what_is_kept_is_told_as_it_will_be(tmp_path, times, validates, told):
    path = str(write_recipe(tmp_path / "small.yaml"))
    recipe = load_recipe(path, ["validation.keep=best", f"validation.times={times}"])
    lines = short_table(recipe, "small", validates=validates).splitlines()
    (line,) = (line for line in lines if "validation" in line)
    assert line.split(maxsplit=1)[1] == told
