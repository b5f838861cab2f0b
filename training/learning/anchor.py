"""Weights that are kept: between those that training started from and those it came to."""

import copy

import torch

from model_store.network import SiameseNetwork


class Anchor:
    """The weights that training started from, and how much of them is kept.

    With the starting weights a and those trained b, what is kept is share·a + (1 − share)·b, for
    the running statistics too (Wortsman et al. 2022, arXiv 2109.01903, equation 1). Training
    learns the classes it is shown and forgets others; a part of the way already brings most of the
    first, and little of the second.

    Args:
        network: Where training starts.
        share: Of the starting weights, in (0, 1).

    Attributes:
        weights: The starting weights by name; a resumed run puts its own in.
    """

    def __init__(self, network: SiameseNetwork, share: float) -> None:
        self.weights = {
            name: tensor.detach().clone()
            for name, tensor in network.state_dict().items()
            if tensor.is_floating_point()
        }
        self._share = share

    @torch.no_grad()
    def between(self, trained: SiameseNetwork) -> SiameseNetwork:
        """A network of its own with the weights in between; in evaluation mode."""
        kept = copy.deepcopy(trained).eval().requires_grad_(False)
        for name, tensor in kept.state_dict().items():
            if name in self.weights:
                tensor.lerp_(self.weights[name].to(tensor), self._share)
        return kept
