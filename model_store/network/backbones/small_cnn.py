"""The three convolutions of the face-verification system, at full resolution throughout."""

import torch
from torch import nn

_WIDTHS = (4, 8, 8)


class SmallCNN(nn.Module):
    """Three times: mirrored border of one pixel, 3x3 convolution, ReLU, batch normalisation.

    With hidden layers of 500 and 500 values and a projection to 5 after it, this is the network
    that contrastive-loss tutorials train on the ORL faces.

    Args:
        in_channels: Channels of the input image.
    """

    def __init__(self, in_channels: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for width in _WIDTHS:
            layers += [
                nn.ReflectionPad2d(1),
                nn.Conv2d(channels, width, 3),
                nn.ReLU(),
                nn.BatchNorm2d(width),
            ]
            channels = width
        self.layers = nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) → (N, 8, H, W)."""
        features: torch.Tensor = self.layers(images)
        return features
