from tests.training.drawings import SMALL_RECIPE, draw_folder, write_recipe
from training.data.opening import open_data
from training.recipe.files import load_recipe
from training.run.planning import planned_steps


def test_steps_are_those_of_the_training(tmp_path):
    drawings = draw_folder(tmp_path / "drawings", classes=22, images=5)
    folder = open_data(drawings).whole
    recipe = load_recipe(str(write_recipe(tmp_path / "r.yaml", SMALL_RECIPE)), ["epochs=3"])
    # 110 images four times, 16 a step
    assert planned_steps(folder, recipe) == (12, 27.5)
    recipe = load_recipe(str(tmp_path / "r.yaml"), ["epochs=3", "max_steps=null"])
    assert planned_steps(folder, recipe)[0] == 82
