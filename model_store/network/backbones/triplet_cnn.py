"""The network of the triplet paper (Hoffer, Ailon 2015, arXiv 1412.6622, section 4)."""

import torch
from torch import nn

_FILTERS = ((64, 5), (128, 3), (256, 3))
_LAST = (128, 2)


class TripletCNN(nn.Module):
    """Convolutions of 64 5x5, 128 3x3, 256 3x3 and 128 2x2 filters, without borders.

    Each but the last is followed by ReLU and 2x2 max-pooling. An image of 32x32 comes out as one
    vector of 128 values; a larger one as a map, to be flattened or averaged.

    Args:
        in_channels: Channels of the input image.
        dropout: Share of the values after each pooling that is zeroed in training.
    """

    def __init__(self, in_channels: int = 3, *, dropout: float = 0.5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for width, kernel in _FILTERS:
            layers += [nn.Conv2d(channels, width, kernel), nn.ReLU(), nn.MaxPool2d(2)]
            layers.append(nn.Dropout(dropout))
            channels = width
        layers.append(nn.Conv2d(channels, *_LAST))
        self.layers = nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) → (N, 128, h, w); h = w = 1 for H = W = 32."""
        features: torch.Tensor = self.layers(images)
        return features
