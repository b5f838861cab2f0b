import pytest
import torch

from training.learning.optimisation import make_optimiser, peak_learning_rate
from training.recipe import Optimiser


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_only_weights_decay(name):
    layer = torch.nn.Linear(3, 2)
    choice = Optimiser(name=name, learning_rate=0.1, weight_decay=0.5)
    optimiser = make_optimiser((layer,), choice)
    before = [value.detach().clone() for value in (layer.weight, layer.bias)]
    for value in layer.parameters():
        value.grad = torch.zeros_like(value)
    optimiser.step()
    assert not torch.equal(layer.weight, before[0])
    assert torch.equal(layer.bias, before[1])


def test_the_rate_follows_the_batch():
    choice = Optimiser(learning_rate=0.1, reference_batch=64)
    assert peak_learning_rate(choice, 32) == pytest.approx(0.05)
    assert peak_learning_rate(Optimiser(learning_rate=0.1), 32) == 0.1
