"""One side of a Siamese network: backbone, pooling, linear layers, normalisation."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from model_store.errors import StoreError
from model_store.network.backbones import BACKBONES
from model_store.network.lookup import find, refusing
from model_store.network.specification import BranchSpec
from model_store.vectors import to_unit_length

Features = npt.NDArray[np.float32]


class GeneralisedMean(nn.Module):
    """Pools a map to one value a channel: (mean of x^p)^(1/p), p learned from 3.

    Radenović, Tolias, Chum 2018 (arXiv 1711.02512), equation 3. p = 1 is the average, p → ∞ the
    maximum.
    """

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(3.0))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w), values used as max(x, 1e-6) → (N, C)."""
        powered = features.float().clamp(min=1e-6).pow(self.p)
        return powered.mean(dim=(-2, -1)).pow(1 / self.p)


class AveragePool(nn.Module):
    """Pools a map to the mean of each channel."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) → (N, C)."""
        return features.mean(dim=(-2, -1))


class GridPool(nn.Sequential):
    """Pools a map to the mean of each channel in each field of a square grid.

    Fields overlap where the map's sides are no multiples of the grid's.

    Args:
        size: Rows and columns of the grid.
    """

    def __init__(self, size: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(size), nn.Flatten())


_POOLING: dict[str, Callable[[BranchSpec], nn.Module]] = {
    "none": lambda _: nn.Identity(),
    "flatten": lambda _: nn.Flatten(),
    "average": lambda _: AveragePool(),
    "gem": lambda _: GeneralisedMean(),
    "grid": lambda spec: GridPool(spec.grid),
}


class Branch(nn.Module):
    """From a normalised image batch to its embeddings.

    Args:
        spec: What to build.
        in_channels: Channels of the input image.
        height: Rows of the input image.
        width: Columns of the input image.

    Attributes:
        dimension: Values of an embedding.

    Raises:
        UnknownComponent: The backbone's name is not known.
        StoreError: The options do not fit the backbone, or it gives no vector.
    """

    def __init__(self, spec: BranchSpec, in_channels: int, height: int, width: int) -> None:
        super().__init__()
        make = find(BACKBONES, "backbone", spec.backbone)
        sized = {"size": (height, width)} if getattr(make, "sized", False) else {}
        with refusing(f"backbone '{spec.backbone}' cannot be built with {spec.options}"):
            self.backbone = make(in_channels=in_channels, **sized, **spec.options)
        self.pooling = _POOLING[spec.pooling](spec)
        shape = _output_shape(
            nn.Sequential(self.backbone, self.pooling), (in_channels, height, width)
        )
        if len(shape) != 2:
            raise StoreError(
                f"backbone '{spec.backbone}' with pooling '{spec.pooling}' gives an output of "
                f"shape {tuple(shape[1:])}, not a vector; choose pooling flatten, average, "
                "gem or grid"
            )
        self.dimension = shape[1]
        layers: list[nn.Module] = []
        for width in spec.hidden:
            layers += [nn.Linear(self.dimension, width), nn.ReLU()]
            self.dimension = width
        if spec.projection is not None:
            layers.append(nn.Linear(self.dimension, spec.projection))
            self.dimension = spec.projection
        if spec.batch_norm:
            layers.append(nn.BatchNorm1d(self.dimension))
        self.projection = nn.Sequential(*layers)
        self.mirrored = spec.mirrored
        self.normalise = spec.normalise

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, channels, height, width), normalised → embeddings, float32 (N, dimension)."""
        return self.finish(self.features(images))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(N, channels, height, width), normalised → float32 (N, dimension), of any length."""
        if self.mirrored:
            images = torch.cat([images, images.flip(-1)])
        pooled: torch.Tensor = self.pooling(self.backbone(images))
        if self.mirrored:
            pooled = pooled.reshape(2, -1, pooled.shape[-1]).mean(dim=0)
        features: torch.Tensor = self.projection(pooled)
        return features.float()

    def finish(self, features: torch.Tensor) -> torch.Tensor:
        """Features → embeddings: of unit length where the branch normalises, else as they are."""
        return functional.normalize(features, dim=-1) if self.normalise else features

    def finish_array(self, features: Features) -> Features:
        """As `finish`, on float32 (N, dimension) in NumPy, which servers need not wait for."""
        return to_unit_length(features) if self.normalise else features


def _output_shape(module: nn.Module, image_shape: tuple[int, int, int]) -> torch.Size:
    """The shape a module gives for a batch of one. It goes back to training mode.

    Found by computing on a blank: going by shapes alone, on torch's `meta` device, makes torch load
    its compiler, which costs over a second of every start.
    """
    channels, height, width = image_shape
    with (
        refusing(f"the backbone cannot take images of {channels}x{height}x{width}"),
        torch.inference_mode(),
    ):
        out: torch.Tensor = module.eval()(torch.zeros(1, *image_shape))
    module.train()
    return out.shape
