"""The modes of a network in training, part of which may be frozen."""

from dataclasses import dataclass

from torch import nn

from model_store.network import SiameseNetwork

_NORMALISING = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class Frozen:
    """What of the backbones does not change in a step.

    Attributes:
        backbone: All of it: it computes as in service and nothing of it gets a gradient.
        statistics: Its running statistics, which are used as in service; its weights learn.
    """

    backbone: bool = False
    statistics: bool = False


NOTHING_FROZEN = Frozen()


def enter_training(network: SiameseNetwork, frozen: Frozen) -> None:
    """Puts a network into training mode, but for what of its backbones is frozen."""
    network.train()
    for branch in network.branches:
        backbone = branch.get_submodule("backbone")
        backbone.train(not frozen.backbone)
        backbone.requires_grad_(not frozen.backbone)
        if frozen.statistics:
            for module in backbone.modules():
                if isinstance(module, _NORMALISING):
                    module.eval()
