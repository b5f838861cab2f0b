"""The running mean of weights."""

import copy

import torch

from model_store.network import SiameseNetwork


class MeanWeights:
    """An exponential moving average of a network's weights and running statistics.

    Early on the average is over the steps so far, or the first weights would weigh too much: the
    decay at step n is min(decay, (n + 1) / (n + 10)).

    Args:
        network: Where the average starts.
        decay: What is kept of the average at each step, in [0, 1).

    Attributes:
        network: Carries the average; in evaluation mode.
    """

    def __init__(self, network: SiameseNetwork, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: SiameseNetwork, step: int) -> None:
        """Takes in the network's weights after step `step`, counted from 0."""
        decay = min(self._decay, (step + 1) / (step + 10))
        mean, new = self.network.state_dict(), network.state_dict()
        floating = [name for name, tensor in mean.items() if tensor.is_floating_point()]
        torch._foreach_lerp_(
            [mean[name] for name in floating], [new[name] for name in floating], 1 - decay
        )
        for name in mean.keys() - set(floating):
            mean[name].copy_(new[name])
