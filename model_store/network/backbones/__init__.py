"""Backbones by name. A new one is one new file and one line here.

A backbone is a module built as `Backbone(in_channels=…, **options)` that takes a normalised image
batch, float32 (N, in_channels, height, width), and gives a feature map (N, C, h, w) or a vector
(N, F).
"""

from collections.abc import Callable

from torch import nn

from model_store.network.backbones.efficientnet_lite import EfficientNetLite0
from model_store.network.backbones.vgg import VGG16

BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "efficientnet-lite0": EfficientNetLite0,
    "vgg16": VGG16,
}
