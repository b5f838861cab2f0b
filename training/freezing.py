"""The modes of a network in training, part of which may be frozen."""

from model_store.network import SiameseNetwork


def enter_training(network: SiameseNetwork, *, backbone_frozen: bool) -> None:
    """Puts a network into training mode, but for its backbones while these are frozen.

    A frozen backbone computes as in service: its running statistics are used and not changed, and
    nothing of it gets a gradient.
    """
    network.train()
    for branch in network.branches:
        backbone = branch.get_submodule("backbone")
        backbone.train(not backbone_frozen)
        backbone.requires_grad_(not backbone_frozen)
