"""Optimisers by name, over parameters that have each their rate and decay."""

from collections.abc import Callable, Iterable

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from model_store.network import SiameseNetwork
from training.recipe import Optimiser

ParameterGroups = list[dict[str, object]]


def _sgd(groups: ParameterGroups, choice: Optimiser) -> Optimizer:
    return SGD(
        groups,
        lr=choice.learning_rate,
        momentum=choice.momentum,
        nesterov=choice.nesterov and choice.momentum > 0,
        foreach=True,
    )


def _adam(groups: ParameterGroups, choice: Optimiser) -> Optimizer:
    return Adam(groups, lr=choice.learning_rate, betas=(choice.momentum, 0.999), foreach=True)


def _adamw(groups: ParameterGroups, choice: Optimiser) -> Optimizer:
    return AdamW(groups, lr=choice.learning_rate, betas=(choice.momentum, 0.999), foreach=True)


_OPTIMISERS: dict[str, Callable[[ParameterGroups, Optimiser], Optimizer]] = {
    "adam": _adam,
    "adamw": _adamw,
    "sgd": _sgd,
}


def make_optimiser(modules: Iterable[nn.Module], choice: Optimiser) -> Optimizer:
    """An optimiser over all parameters of some modules.

    Weights decay; biases and the factors of normalisation layers do not, since shrinking them
    does not make the function smoother. Each group of parameters has its `factor` of the learning
    rate, which `set_rate` heeds.

    Args:
        modules: The network and the loss.
        choice: The recipe's.
    """
    modules = tuple(modules)
    parameters = [
        parameter
        for module in modules
        for parameter in module.parameters()
        if parameter.requires_grad
    ]
    in_backbone = {id(p) for module in modules for p in backbone_parameters(module)}
    groups: ParameterGroups = []
    for factor, chosen in _by_factor(parameters, in_backbone, choice.backbone_factor):
        decaying = [parameter for parameter in chosen if parameter.ndim > 1]
        others = [parameter for parameter in chosen if parameter.ndim <= 1]
        groups += [
            {"params": decaying, "weight_decay": choice.weight_decay, "factor": factor},
            {"params": others, "weight_decay": 0.0, "factor": factor},
        ]
    return _OPTIMISERS[choice.name]([group for group in groups if group["params"]], choice)


def backbone_parameters(module: nn.Module) -> list[nn.Parameter]:
    """The parameters of a network's backbones; none of what is no network."""
    if not isinstance(module, SiameseNetwork):
        return []
    return [
        parameter
        for branch in module.branches
        for parameter in branch.get_submodule("backbone").parameters()
    ]


def set_rate(optimiser: Optimizer, rate: float) -> None:
    """Sets the learning rate of every group, times its own factor."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)


def _by_factor(
    parameters: list[nn.Parameter], in_backbone: set[int], factor: float
) -> list[tuple[float, list[nn.Parameter]]]:
    if factor == 1:
        return [(1.0, parameters)]
    return [
        (factor, [parameter for parameter in parameters if id(parameter) in in_backbone]),
        (1.0, [parameter for parameter in parameters if id(parameter) not in in_backbone]),
    ]


def peak_learning_rate(choice: Optimiser, batch: int) -> float:
    """The rate that the schedule scales.

    Args:
        choice: The recipe's.
        batch: The size of a step.
    """
    return choice.learning_rate * (batch / choice.reference_batch if choice.reference_batch else 1)
