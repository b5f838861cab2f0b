"""Several batches a step: their mean, whoever works on them."""

import copy
import weakref

import pytest
import torch
from torch import nn

from model_store.network import SiameseNetwork
from tests.training.drawings import SMALL_RECIPE, write_recipe
from training.data.batch import Batch
from training.learning.learner import Learner
from training.recipe.files import load_recipe

CPU = torch.device("cpu")


@pytest.fixture
def recipe(tmp_path):
    # Nesterov momentum adds to the gradients in place, and the test reads them after the step.
    overrides = ["mean_decay=null", "batches_per_step=3", "optimiser.nesterov=false"]
    return load_recipe(str(write_recipe(tmp_path / "r.yaml", SMALL_RECIPE)), overrides)


def making(number: int):
    generator = torch.Generator().manual_seed(number)
    images = torch.randint(0, 256, (6, 32, 32, 1), generator=generator).to(torch.uint8)
    labels = torch.randint(0, 5, (6,), generator=generator)
    return lambda: Batch(images, labels, torch.zeros_like(labels), progress=0.5)


def learner_of(recipe, *, dropout: bool = False) -> Learner:
    learner = Learner(recipe, 5, CPU)
    if dropout:
        projection = learner.network.branches[0].projection
        learner.network.branches[0].projection = nn.Sequential(nn.Dropout(0.5), projection)
    return learner


def state_of(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in learner.network.state_dict().items()}


def learnt(recipe, **options) -> dict[str, torch.Tensor]:
    learner = learner_of(recipe, **options)
    for step in range(3):
        learner.step([making(3 * step + part) for part in range(3)], step, 0.5)
    return state_of(learner)


def test_a_step_equals_the_loop(recipe):
    learner = learner_of(recipe)
    before = copy.deepcopy(learner.network)
    makings = [making(part) for part in range(3)]
    result = learner.step(makings, 0, 0.5)

    losses, accuracies, gradients, statistics = [], [], [], []
    fresh = learner_of(recipe)
    for make in makings:
        network: SiameseNetwork = copy.deepcopy(before).train()
        batch = make()
        measured = fresh.loss.measured(network, network.embed(batch.images), batch)
        measured.loss.backward()
        losses.append(measured.loss.item())
        accuracies.append(measured.accuracy.item())
        gradients.append([parameter.grad for parameter in network.parameters()])
        statistics.append(list(network.buffers()))
    assert result.images == 18
    assert result.loss.item() == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert result.accuracy.item() == pytest.approx(sum(accuracies) / 3)
    assert len(set(accuracies)) > 1
    for parameter, *each in zip(learner.network.parameters(), *gradients, strict=True):
        torch.testing.assert_close(parameter.grad, sum(each) / 3, atol=3e-5, rtol=1e-3)
    for buffer, *each in zip(learner.network.buffers(), *statistics, strict=True):
        expected = sum(each) / 3 if buffer.is_floating_point() else each[0]
        torch.testing.assert_close(buffer, expected, atol=1e-6, rtol=1e-5)


def test_side_by_side_is_the_same_every_time(recipe):
    first, second = learnt(recipe), learnt(recipe)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_random_numbers_in_the_network_do_not_spoil_that(recipe):
    first, second = learnt(recipe, dropout=True), learnt(recipe, dropout=True)
    assert all(torch.equal(first[name], second[name]) for name in first)


class Drawing(nn.Module):
    """Draws a number each time, as dropout would."""

    def __init__(self, drawn: list[float]) -> None:
        super().__init__()
        self.drawn = drawn

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self.drawn.append(torch.rand(()).item())
        return values

    def __deepcopy__(self, _: object) -> "Drawing":
        return Drawing(self.drawn)


@pytest.mark.parametrize("batches", [1, 3])
def test_every_batch_of_every_step_draws_numbers_of_its_own(recipe, batches):
    drawn: list[float] = []
    learner = learner_of(recipe.model_copy(update={"batches_per_step": batches}))
    branch = learner.network.branches[0]
    branch.projection = nn.Sequential(Drawing(drawn), branch.projection)
    for step in range(4):
        learner.step([making(part) for part in range(batches)], step, 0.5)
    # Before the first step of several batches, one of them shows whether numbers are drawn at all.
    assert len(set(drawn[batches > 1 :])) == len(drawn[batches > 1 :]) == 4 * batches


def test_the_callers_random_state_is_left_alone(recipe):
    before = torch.get_rng_state()
    learnt(recipe, dropout=True)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("dropout", [False, True])
def test_no_batch_is_begun_before_another_is_taken_in(recipe, dropout):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        learner = learner_of(recipe, dropout=dropout)
        learner.step([making(part) for part in range(3)], 0, 0.5)
        alive, most = weakref.WeakSet(), []
        work = learner._gradients

        def noted(network, make):
            most.append(len(alive))
            found = work(network, make)
            alive.add(found)
            return found

        learner._gradients = noted
        learner.step([making(part) for part in range(3)], 1, 0.5)
        assert most == [0, 0, 0]
        assert learner.gradients_held == 2
    finally:
        torch.set_num_threads(threads)


def test_an_error_in_one_batch_reaches_the_caller(recipe):
    def broken():
        raise ValueError("broken batch")

    with pytest.raises(ValueError, match="broken batch"):
        learner_of(recipe).step([making(0), broken, making(1)], 0, 0.5)
