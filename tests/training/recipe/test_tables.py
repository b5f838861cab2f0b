from tests.training.drawings import write_recipe
from training.recipe.files import load_recipe
from training.recipe.tables import recipe_table, short_table


def test_every_value_of_a_recipe_is_in_its_table(tmp_path):
    recipe = load_recipe(str(write_recipe(tmp_path / "small.yaml")))
    text = recipe_table(recipe, "small")
    for key in ("description", "preprocessing.mean", "calibration.far", "loss.options"):
        assert key in text
    assert "8 x 2 a step" in short_table(recipe, "small")
