"""Backbones by name. A new one is one new file and one line here.

A backbone is a module built as `Backbone(in_channels=…, **options)` that takes a normalised image
batch, float32 (N, in_channels, height, width), and gives a feature map (N, C, h, w) or a vector
(N, F). One whose layers may depend on the images' size says so, as `sized`, and is built with
`size=(height, width)`, too. A backbone that looks for one kind of thing in an image says which, as
`subject`: "face", or for anything "scene".
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from model_store.network.backbones.dlib_face import DlibFace
from model_store.network.backbones.efficientnet_lite import (
    EfficientNetLite0,
    EfficientNetLite1,
    EfficientNetLite2,
)
from model_store.network.backbones.libraries import Timm, Torchvision
from model_store.network.backbones.residual import Residual
from model_store.network.backbones.small_cnn import SmallCNN
from model_store.network.backbones.triplet_cnn import TripletCNN
from model_store.network.backbones.vgg import VGG16

BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "dlib-face": DlibFace,
    "efficientnet-lite0": EfficientNetLite0,
    "efficientnet-lite1": EfficientNetLite1,
    "efficientnet-lite2": EfficientNetLite2,
    "residual": Residual,
    "resnet18": partial(Torchvision, architecture="resnet18"),
    "resnet34": partial(Torchvision, architecture="resnet34"),
    "resnet50": partial(Torchvision, architecture="resnet50"),
    "small-cnn": SmallCNN,
    "timm": Timm,
    "torchvision": Torchvision,
    "triplet-cnn": TripletCNN,
    "vgg16": VGG16,
}
