import pytest
import torch

from tests import tiny
from training.learning.optimisation import (
    backbone_parameters,
    make_optimiser,
    peak_learning_rate,
    set_rate,
)
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


def after(choice: Optimiser, gradients: list[float], start: float = 1.0) -> float:
    """Where a single weight comes to that is given some gradients."""
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(layer.weight, start)
    optimiser = make_optimiser((layer,), choice)
    for gradient in gradients:
        layer.weight.grad = torch.full((1, 1), gradient)
        optimiser.step()
    return layer.weight.item()


@pytest.mark.parametrize(
    ("momentum", "nesterov", "moved"),
    [
        # The velocity is 1, then 0.5 + 1; Nesterov's takes half of it once more, and the gradient.
        (0.5, False, 1 + 1.5),
        (0.5, True, (1 + 0.5) + (1 + 0.75)),
        (0.0, True, 1 + 1),
    ],
)
def test_sgd_has_the_momentum_that_it_is_told(momentum, nesterov, moved):
    choice = Optimiser(name="sgd", learning_rate=0.1, momentum=momentum, nesterov=nesterov)
    assert after(choice, [1.0, 1.0]) == pytest.approx(1 - 0.1 * moved)


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_adam_takes_the_momentum_for_its_first_moment(name, momentum):
    mean = momentum * (1 - momentum) * 1 + (1 - momentum) * 3
    square = 0.999 * 0.001 * 1 + 0.001 * 9
    second = mean / (1 - momentum**2) / (square / (1 - 0.999**2)) ** 0.5
    choice = Optimiser(name=name, learning_rate=0.1, momentum=momentum)
    assert after(choice, [1.0, 3.0]) == pytest.approx(1 - 0.1 * (1 + second), abs=1e-5)


def test_adamw_decays_beside_the_gradient_and_adam_by_it():
    options = {"learning_rate": 0.1, "weight_decay": 0.5}
    assert after(Optimiser(name="adamw", **options), [0.0], 4.0) == pytest.approx(4 * 0.95)
    # A gradient of any size is a step of the rate's.
    assert after(Optimiser(name="adam", **options), [0.0], 4.0) == pytest.approx(3.9)


def test_a_group_has_its_factor_of_the_rate_biases_too():
    network = tiny.network()
    choice = Optimiser(name="sgd", learning_rate=0.1, backbone_factor=0.1)
    optimiser = make_optimiser((network,), choice)
    set_rate(optimiser, 2.0)
    inside = {id(parameter) for parameter in backbone_parameters(network)}
    rates = {
        (id(parameter) in inside, parameter.ndim > 1): group["lr"]
        for group in optimiser.param_groups
        for parameter in group["params"]
    }
    assert rates == {
        (True, True): pytest.approx(0.2),
        (True, False): pytest.approx(0.2),
        (False, True): 2.0,
        (False, False): 2.0,
    }


def test_the_rate_follows_the_batch():
    choice = Optimiser(learning_rate=0.1, reference_batch=64)
    assert peak_learning_rate(choice, 32) == pytest.approx(0.05)
    assert peak_learning_rate(Optimiser(learning_rate=0.1), 32) == 0.1
