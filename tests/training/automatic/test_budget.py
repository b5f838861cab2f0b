import torch
import yaml

from tests.training.drawings import SMALL_RECIPE, draw_folder
from training.automatic.budget import steps_within
from training.data.opening import open_data
from training.data.parts import Parts
from training.recipe.files import parse_recipe


def test_more_time_is_more_steps(tmp_path):
    draw_folder(tmp_path, classes=6, images=4)
    parts = Parts(open_data(tmp_path).whole, None, None)
    recipe = parse_recipe(yaml.safe_load(SMALL_RECIPE), "small")
    cpu = torch.device("cpu")
    assert steps_within(0.0, recipe, parts, cpu) == 1
    assert steps_within(3600.0, recipe, parts, cpu) > 60 > 1
