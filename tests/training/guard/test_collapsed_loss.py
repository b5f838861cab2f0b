"""Which batches a loss is asked about, and what is made of its answers."""

from contextlib import closing

import pytest
import torch

from tests.training.drawings import SMALL_RECIPE, draw_folder, write_recipe
from training.data.batch import Batch
from training.data.opening import open_data
from training.data.pixels import PixelsAsTheyCome
from training.data.sampling import SAMPLERS
from training.data.training_set import TrainingSet
from training.guard.collapsed_loss import CollapsedLoss
from training.losses import Loss
from training.recipe.files import load_recipe


class Asked(Loss):
    """Answers one after the other, and remembers what it was asked about."""

    def __init__(self, *answers: float | None) -> None:
        super().__init__(8, 6)
        self.answers = list(answers)
        self.batches: list[Batch] = []

    def collapsed_value(self, batch: Batch) -> float | None:
        self.batches.append(batch)
        return self.answers.pop(0)


@pytest.fixture
def recipe(tmp_path):
    path = str(write_recipe(tmp_path / "r.yaml", SMALL_RECIPE))
    return load_recipe(path, ["batch=4", "batches_per_step=3", "seed=5"])


@pytest.fixture
def images(tmp_path, recipe):
    folder = open_data(draw_folder(tmp_path / "data", classes=3, images=4, groups=2)).whole
    with closing(PixelsAsTheyCome(folder, recipe.preprocessing, 1)) as pixels:
        yield TrainingSet(pixels, turned_classes=False)


def test_it_is_asked_about_the_first_batch_of_each_step(recipe, images):
    loss = Asked(1.0, 2.0, 6.0)
    assert CollapsedLoss(loss, images, recipe, 20)(3, 5) == 3
    sampler = SAMPLERS["shuffled"](images.table, 4, 5)
    for step, batch in zip((3, 4, 5), loss.batches, strict=True):
        labels = images.table.labels[sampler.draw(3 * step).indices]
        assert batch.labels.tolist() == labels.tolist()
        assert torch.equal(batch.groups, images.groups[batch.labels])
        assert batch.groups.tolist() == [label // 3 for label in labels]
        assert batch.progress == pytest.approx((step + 0.5) / 20)


def test_of_many_steps_eight_are_asked_about_from_the_first_to_the_last(recipe, images):
    loss = Asked(*[1.0] * 8)
    CollapsedLoss(loss, images, recipe, 100)(10, 80)
    steps = [round(batch.progress * 100 - 0.5) for batch in loss.batches]
    assert steps == [10, 20, 30, 40, 50, 60, 70, 80]


def test_one_batch_without_such_a_value_leaves_none(recipe, images):
    assert CollapsedLoss(Asked(1.0, None, 2.0), images, recipe, 20)(3, 5) is None
