from contextlib import closing, nullcontext
from dataclasses import replace

import pytest
import torch

from tests.training.drawings import SMALL_RECIPE, draw_folder, write_recipe
from training.data.opening import open_data
from training.data.pixels import PixelsAsTheyCome
from training.data.training_set import TrainingSet
from training.errors import RecipeError
from training.recipe.files import load_recipe
from training.run.planning import Plan, plan_training, planned_steps, validation_steps
from training.run.state import Standing


def test_steps_are_those_of_the_training(tmp_path):
    drawings = draw_folder(tmp_path / "drawings", classes=22, images=5)
    folder = open_data(drawings).whole
    recipe = load_recipe(str(write_recipe(tmp_path / "r.yaml", SMALL_RECIPE)), ["epochs=3"])
    # 110 images four times, 16 a step
    assert planned_steps(folder, recipe) == (12, 27.5)
    recipe = load_recipe(str(tmp_path / "r.yaml"), ["epochs=3", "max_steps=null"])
    assert planned_steps(folder, recipe)[0] == 82


@pytest.mark.parametrize(
    ("steps", "times", "expected"),
    [(12, 3, {4, 8, 12}), (10, 3, {3, 6, 10}), (2, 5, {1, 2}), (7, 1, {7}), (7, 0, set())],
)
def test_validations_are_spread_evenly_and_the_last_step_is_one(steps, times, expected):
    assert validation_steps(steps, times) == expected


@pytest.mark.parametrize(("steps", "expected"), [(1, 1), (399, 1), (400, 2), (10_000, 50)])
def test_a_history_has_some_two_hundred_rows(steps, expected):
    plan = Plan(steps, 1.0, frozenset(), keep_best=False, save_every=60)
    assert plan.row_steps == expected


def test_the_time_is_over_at_the_first_validation_after_it():
    plan = Plan(9, 1.0, frozenset({3, 6, 9}), keep_best=False, save_every=60, max_seconds=30)
    assert not plan.ended(Standing(step=3, seconds=29.9))
    assert not plan.ended(Standing(step=5, seconds=30))
    assert plan.ended(Standing(step=6, seconds=30))
    assert replace(plan, until=5).ended(Standing(step=5, seconds=1))


@pytest.fixture
def images(tmp_path):
    folder = open_data(draw_folder(tmp_path / "data", classes=4, images=3)).whole
    recipe = load_recipe(str(write_recipe(tmp_path / "r.yaml", SMALL_RECIPE)))
    with closing(PixelsAsTheyCome(folder, recipe.preprocessing, 1)) as pixels:
        yield TrainingSet(pixels, turned_classes=False)


def test_a_plan_is_what_the_recipe_says(tmp_path, images):
    def planned(*overrides: str, validates: bool = True) -> Plan:
        recipe = load_recipe(str(tmp_path / "r.yaml"), overrides)
        return plan_training(images, recipe, torch.device("cpu"), validates=validates)[1]

    assert planned("max_minutes=1.5").max_seconds == 90
    assert planned().max_seconds is None
    kept = ("last", "best", "both", "every")
    assert [planned(f"validation.keep={keep}").keep_best for keep in kept] == [0, 1, 1, 0]
    assert planned("max_steps=40", "validation.times=2").validations == {20, 40}
    looked_at = planned("max_steps=40", "validation.times=2", validates=False)
    assert looked_at.validations == set(range(4, 41, 4)), "ten times, to see that it goes well"
    first = "validation.first=true"
    assert [planned(first, validates=there).first for there in (True, False)] == [True, False]


def test_smaller_pictures_are_not_for_a_network_that_flattens_its_map(tmp_path, images):
    smaller = "augmentation={name: jitter, options: {resolution: 0.5}}"
    pooling = "network.branches.0.pooling="
    for overrides in ([smaller, f"{pooling}gem"], ["augmentation={name: jitter}"]):
        recipe = load_recipe(str(tmp_path / "r.yaml"), overrides)
        plan_training(images, recipe, torch.device("cpu"), validates=False)
    recipe = load_recipe(str(tmp_path / "r.yaml"), [smaller])
    with pytest.raises(RecipeError, match="resolution below 1"):
        plan_training(images, recipe, torch.device("cpu"), validates=False)


@pytest.mark.parametrize(
    ("architecture", "fits"), [("vit_tiny_patch16_224", False), ("test_resnet", True)]
)
def test_smaller_pictures_are_not_for_a_network_built_for_their_size(
    tmp_path, images, architecture, fits
):
    pytest.importorskip("timm", reason="the extra timm is not installed")
    overrides = [
        "augmentation={name: jitter, options: {resolution: 0.5}}",
        "network.branches.0.backbone=timm",
        f"network.branches.0.options={{architecture: {architecture}}}",
        "network.branches.0.pooling=none",
    ]
    recipe = load_recipe(str(tmp_path / "r.yaml"), overrides)
    with nullcontext() if fits else pytest.raises(RecipeError, match=r"takes only one .*at 1"):
        plan_training(images, recipe, torch.device("cpu"), validates=False)


def test_another_seed_augments_otherwise_and_the_same_one_alike(tmp_path):
    data = draw_folder(tmp_path / "data", classes=4, images=3)
    files = sorted(data.rglob("*.png"))
    for file in files:  # All images are one, so that it is of no account which are drawn.
        file.write_bytes(files[0].read_bytes())
    path = str(write_recipe(tmp_path / "r.yaml", SMALL_RECIPE))

    def first_batch(seed: int) -> torch.Tensor:
        recipe = load_recipe(path, [f"seed={seed}", "batches_per_step=1"])
        with closing(PixelsAsTheyCome(open_data(data).whole, recipe.preprocessing, 1)) as pixels:
            images = TrainingSet(pixels, turned_classes=False)
            batches, _ = plan_training(images, recipe, torch.device("cpu"), validates=False)
            with closing(batches.following(0)) as steps:
                (making,) = next(steps)
                return making().images

    assert torch.equal(first_batch(1), first_batch(1))
    assert not torch.equal(first_batch(1), first_batch(2))
