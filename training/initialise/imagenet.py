"""ImageNet weights of a backbone, from the library or package that has them."""

import pickle
from pathlib import Path
from urllib.parse import urlparse

import torch

from model_store.errors import StoreError, first_line
from model_store.imports.efficientnet_lite import imagenet_tensors, packages
from model_store.network.specification import BranchSpec
from training.errors import TrainingError

_RESNETS = ("resnet18", "resnet34", "resnet50")


def imagenet_weights(spec: BranchSpec) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors, and what to call their source.

    Args:
        spec: A branch with a backbone that has ImageNet weights: EfficientNet-Lite, VGG16, any
            of torchvision's or timm's.

    Raises:
        TrainingError: There are none for it, or they cannot be had here; the message says what to
            do instead.
    """
    name = spec.backbone
    if name in packages():
        try:
            return imagenet_tensors(name), f"ImageNet (package {packages()[name]})"
        except StoreError as error:
            raise TrainingError(str(error)) from error
    if name == "timm":
        return _from_timm(str(spec.options.get("architecture")))
    if name == "vgg16":
        return _from_torchvision("vgg16_bn" if spec.options.get("batch_norm") else "vgg16")
    if name in _RESNETS:
        return _from_torchvision(name)
    if name == "torchvision":
        return _from_torchvision(str(spec.options.get("architecture")))
    raise TrainingError(
        f"nobody has published ImageNet weights for the backbone '{name}'; start from a file "
        "(start: {backbone: FILE}), from a model (start: {model: NAME}), or from nothing"
    )


def _from_torchvision(architecture: str) -> tuple[dict[str, torch.Tensor], str]:
    from torchvision import models

    try:
        weights = models.get_model_weights(architecture)["DEFAULT"]
    except (KeyError, ValueError) as error:
        raise TrainingError(
            f"torchvision has no ImageNet weights for '{architecture}'; start from a file with "
            "start: {backbone: FILE}, or from nothing"
        ) from error
    file = Path(urlparse(weights.url).path).name
    try:
        tensors = torch.hub.load_state_dict_from_url(
            weights.url, map_location="cpu", check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        cache = Path(torch.hub.get_dir()) / "checkpoints"
        raise TrainingError(
            f"the ImageNet weights of {architecture} cannot be had ({error}): they are not in "
            f"{cache} and cannot be downloaded. Where there is a network, download {weights.url}; "
            f"then put {file} into that folder, or name it with "
            f"--set 'start={{backbone: {file}}}'"
        ) from error
    return dict(tensors), f"ImageNet (torchvision {architecture} {weights.name})"


def _from_timm(architecture: str) -> tuple[dict[str, torch.Tensor], str]:
    try:
        import timm
    except ImportError as error:
        raise TrainingError(
            "weights from timm need timm; install it with pip install --editable '.[timm]'"
        ) from error
    try:
        network = timm.create_model(architecture, pretrained=True, num_classes=0)
    except (OSError, RuntimeError, ValueError) as error:
        reason = first_line(error)
        raise TrainingError(
            f"the ImageNet weights of timm's {architecture} cannot be had ({reason}); where there "
            "is a network, save timm.create_model(..., pretrained=True).state_dict() with "
            "torch.save, and name the file with --set 'start={backbone: FILE}'"
        ) from error
    return network.state_dict(), f"ImageNet (timm {architecture})"
