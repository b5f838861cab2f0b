import pytest
import torch
import yaml

from tests.training.drawings import SMALL_RECIPE, draw_folder
from training.automatic.budget import steps_within
from training.data.opening import open_data
from training.data.parts import Parts
from training.distributed import Processes
from training.learning.timing import StepTime
from training.recipe.files import parse_recipe


def test_more_time_is_more_steps(tmp_path):
    draw_folder(tmp_path, classes=6, images=4)
    parts = Parts(open_data(tmp_path).whole, None, None)
    recipe = parse_recipe(yaml.safe_load(SMALL_RECIPE), "small")
    cpu = torch.device("cpu")
    assert steps_within(0.0, recipe, parts, cpu) == 1
    assert steps_within(3600.0, recipe, parts, cpu) > 60 > 1


@pytest.mark.parametrize(
    ("overrides", "judged", "steps"),
    [
        # Of 100 seconds 80 are for training and judging, a step takes one, and an image judged a
        # third of the one image that a step learns from.
        ({}, False, 80),
        ({"first": True}, False, 80),
        # 24 that validate, 24 that calibrate, and two looks at 24.
        ({}, True, 48),
        ({"first": True}, True, 40),
        ({"first": True, "images": 6}, True, 58),
        ({"times": 9}, True, 1),
    ],
)
def test_judging_takes_its_part_of_the_time(tmp_path, monkeypatch, overrides, judged, steps):
    # How long a step takes differs from run to run.
    measured = StepTime(seconds=1.0, images=1)
    monkeypatch.setattr("training.automatic.budget.time_of_a_step", lambda *_: measured)
    draw_folder(tmp_path, classes=6, images=4)
    folder = open_data(tmp_path).whole
    parts = Parts(folder, folder, folder) if judged else Parts(folder, None, None)
    content = yaml.safe_load(SMALL_RECIPE)
    content["validation"] = {"times": 2, **overrides}
    recipe = parse_recipe(content, "small")
    assert steps_within(100.0, recipe, parts, torch.device("cpu")) == steps
    assert steps_within(6e10, recipe, parts, torch.device("cpu")) > 4e10


def test_a_process_times_its_own_share_of_a_step(tmp_path, monkeypatch):
    timed = []

    def time(learner, steps):
        timed.extend((learner.recipe.batches_per_step, len(makings)) for makings in steps)
        return StepTime(seconds=1.0, images=1)

    monkeypatch.setattr("training.automatic.budget.time_of_a_step", time)
    draw_folder(tmp_path, classes=6, images=4)
    parts = Parts(open_data(tmp_path).whole, None, None)
    recipe = parse_recipe(yaml.safe_load(SMALL_RECIPE) | {"batches_per_step": 6}, "small")
    assert steps_within(100.0, recipe, parts, torch.device("cpu"), Processes(0, 3)) == 80
    assert set(timed) == {(2, 2)}
