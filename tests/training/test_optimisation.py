"""Schedules, optimisers and the running mean of weights."""

import math

import pytest
import torch

from tests import tiny
from training.optimisation import MeanWeights, make_optimiser, peak_learning_rate
from training.recipe import Optimiser
from training.schedules import SCHEDULES, with_warm_up


class TestSchedules:
    def test_cosine(self):
        curve = with_warm_up(SCHEDULES["cosine"](floor=0.1), 0.2)
        assert curve(0.1) == pytest.approx(0.5)
        assert curve(0.2) == pytest.approx(1)
        assert curve(0.6) == pytest.approx(0.55)
        assert curve(1.0) == pytest.approx(0.1)

    def test_step(self):
        curve = SCHEDULES["step"](every=0.3, factor=0.1)
        assert [curve(x) for x in (0, 0.29, 0.3, 0.6, 0.9)] == pytest.approx(
            [1, 1, 0.1, 0.01, 0.001]
        )

    def test_constant(self):
        assert with_warm_up(SCHEDULES["constant"](), 0.0)(0.0) == 1


class TestOptimiser:
    @pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
    def test_only_weights_decay(self, name):
        layer = torch.nn.Linear(3, 2)
        choice = Optimiser(name=name, learning_rate=0.1, weight_decay=0.5)
        optimiser = make_optimiser((layer,), choice)
        before = [value.detach().clone() for value in (layer.weight, layer.bias)]
        for value in layer.parameters():
            value.grad = torch.zeros_like(value)
        optimiser.step()
        assert not torch.equal(layer.weight, before[0])
        assert torch.equal(layer.bias, before[1])

    def test_the_rate_follows_the_batch(self):
        choice = Optimiser(learning_rate=0.1, reference_batch=64)
        assert peak_learning_rate(choice, 32) == pytest.approx(0.05)
        assert peak_learning_rate(Optimiser(learning_rate=0.1), 32) == 0.1


def test_the_mean_of_weights_equals_the_loop():
    network = tiny.network("euclidean")
    mean = MeanWeights(network, 0.9)
    name = "branches.0.projection.0.weight"
    expected = network.state_dict()[name].clone().double()
    for step in range(12):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * math.sin(step))
        mean.update(network, step)
        decay = min(0.9, (step + 1) / (step + 10))
        expected = decay * expected + (1 - decay) * network.state_dict()[name].double()
    torch.testing.assert_close(
        mean.network.state_dict()[name].double(), expected, atol=1e-5, rtol=0
    )
