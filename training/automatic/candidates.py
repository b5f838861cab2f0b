"""The starting networks that are tried, and the features each gives of some images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from model_store.checkpoint import Checkpoint
from model_store.imports.dlib_face import face_tensors
from model_store.imports.efficientnet_lite import imagenet_tensors
from model_store.network.backbones.dlib_face import DlibFace
from model_store.network.backbones.efficientnet_lite import EfficientNetLite0
from model_store.network.branch import GeneralisedMean, GridPool
from model_store.preprocessing import Preprocessing, normalise

_BATCH = 32


@dataclass(frozen=True)
class Layer:
    """Where an ImageNet network is left, and how the map there becomes a vector.

    Attributes:
        depth: Blocks that are kept; None for the whole network.
        grid: Rows and columns that are kept; None for the generalised mean over the map.
    """

    depth: int | None
    grid: int | None

    def described(self) -> str:
        """It in words."""
        pooled = f"{self.grid}x{self.grid} grid" if self.grid else "generalised mean"
        return f"ImageNet, {'all' if self.depth is None else self.depth} blocks, {pooled}"

    def overrides(self, features: int) -> list[str]:
        """What it is as `--set` of the recipe `photos`.

        Args:
            features: Values of its vector.
        """
        branch = "network.branches.0"
        found = [f"{branch}.projection={features}"]
        if self.depth is not None:
            found.append(f"{branch}.options={{depth: {self.depth}}}")
        if self.grid is not None:
            found += [f"{branch}.pooling=grid", f"{branch}.grid={self.grid}"]
        return found


LAYERS = (
    Layer(None, None),
    Layer(15, None),
    Layer(15, 2),
    Layer(15, 3),
    Layer(11, 3),
    Layer(8, 3),
)
"""Late layers tell kinds of things, early ones their parts; a grid keeps where the parts are."""


def imagenet_features(
    images: torch.Tensor,
    spec: Preprocessing,
    device: torch.device,
    layers: Sequence[Layer] = LAYERS,
) -> dict[Layer, torch.Tensor]:
    """The features of EfficientNet-Lite0 with ImageNet weights at some layers.

    Args:
        images: uint8 (N, height, width, 3).
        spec: How they were prepared.
        device: Where to compute.
        layers: Which; nothing is computed behind the last of them.

    Returns:
        float32 (N, D) each, on the CPU.

    Raises:
        StoreError: The weights cannot be had.
    """
    backbone = EfficientNetLite0()
    backbone.load_state_dict(imagenet_tensors())
    backbone.eval().to(device)
    stages = [*backbone.blocks, backbone.head]
    ends = {layer: layer.depth or len(stages) for layer in layers}
    parts: dict[Layer, list[torch.Tensor]] = {layer: [] for layer in layers}
    with torch.inference_mode():
        for batch in torch.split(images, _BATCH):
            maps = backbone.stem(normalise(batch.to(device), spec))
            for count, stage in enumerate(stages[: max(ends.values())], 1):
                maps = stage(maps)
                for layer, end in ends.items():
                    if end == count:
                        parts[layer].append(_pool(layer)(maps).float().cpu())
    return {layer: torch.cat(rows) for layer, rows in parts.items()}


def model_features(checkpoint: Checkpoint, images: torch.Tensor) -> torch.Tensor:
    """The embeddings of a model of the store.

    Args:
        checkpoint: The model.
        images: uint8 (N, height, width, channels), prepared as it wants them.
    """
    with torch.inference_mode():
        rows: Sequence[torch.Tensor] = [
            checkpoint.network.embed(batch) for batch in torch.split(images, _BATCH)
        ]
    return torch.cat(list(rows))


def load_face_network(device: torch.device) -> DlibFace:
    """The face network of dlib.

    Raises:
        StoreError: The weights cannot be had.
    """
    network = DlibFace()
    network.load_state_dict(face_tensors())
    return network.eval().to(device)


def face_features(
    network: DlibFace, images: torch.Tensor, spec: Preprocessing, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """What dlib's face network makes of images, and in which of them it found a face.

    Args:
        network: The network.
        images: uint8 (N, height, width, 3).
        spec: How they were prepared.
        device: Where to compute.

    Returns:
        float32 (N, 128) and bool (N,), on the CPU.
    """
    features, found = [], []
    with torch.inference_mode():
        for batch in torch.split(images, _BATCH):
            prepared = normalise(batch.to(device), spec)
            boxes, scores = network.locate(prepared)
            features.append(network.descriptor(network.chips(prepared, boxes)).float().cpu())
            found.append((scores > 0).cpu())
    return torch.cat(features), torch.cat(found)


def _pool(layer: Layer) -> nn.Module:
    return GeneralisedMean() if layer.grid is None else GridPool(layer.grid)
