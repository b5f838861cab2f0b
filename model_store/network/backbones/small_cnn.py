"""A few plain convolutions; by default the three of the face-verification system."""

from collections.abc import Sequence

import torch
from torch import nn


class SmallCNN(nn.Module):
    """Layer by layer: mirrored border, convolution, ReLU, batch normalisation, maximum pooling.

    With hidden layers of 500 and 500 values and a projection to 5 after it, its defaults are the
    network that contrastive-loss tutorials train on the ORL faces.

    Args:
        in_channels: Channels of the input image.
        widths: Channels of each convolution.
        kernels: Side of each convolution, odd; the border keeps the map's size.
        pools: Side of the squares after each convolution of which the largest value is kept; 1
            for none.
        norm_first: Whether batch normalisation comes before ReLU.

    Raises:
        TypeError: The options do not go together.
    """

    def __init__(
        self,
        in_channels: int = 1,
        *,
        widths: Sequence[int] = (4, 8, 8),
        kernels: Sequence[int] = (3, 3, 3),
        pools: Sequence[int] = (1, 1, 1),
        norm_first: bool = False,
    ) -> None:
        super().__init__()
        if not len(widths) == len(kernels) == len(pools) or not widths:
            raise TypeError("widths, kernels and pools must be lists of one length, not empty")
        if min(*widths, *kernels, *pools) < 1 or any(kernel % 2 != 1 for kernel in kernels):
            raise TypeError("widths, kernels and pools must be above 0, kernels odd")
        layers: list[nn.Module] = []
        channels = in_channels
        for width, kernel, pool in zip(widths, kernels, pools, strict=True):
            after: list[nn.Module] = [nn.ReLU(), nn.BatchNorm2d(width)]
            layers += [
                nn.ReflectionPad2d(kernel // 2),
                nn.Conv2d(channels, width, kernel),
                *(reversed(after) if norm_first else after),
            ]
            if pool > 1:
                layers.append(nn.MaxPool2d(pool))
            channels = width
        self.layers = nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) → (N, C, h, w), as large as the image where nothing pools."""
        features: torch.Tensor = self.layers(images)
        return features
