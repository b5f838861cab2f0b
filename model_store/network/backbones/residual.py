"""A small residual network for small images, such as characters.

After He et al. 2016 (arXiv 1512.03385): basic blocks, with the average-pooled shortcut of
"ResNet-D" (He et al. 2019, arXiv 1812.01187), which throws no pixel away.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the block starts as the shortcut alone."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        nn.init.zeros_(self.norm2.weight)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            pool = [nn.AvgPool2d(stride, stride, ceil_mode=True)] if stride != 1 else []
            self.shortcut = nn.Sequential(
                *pool, nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        inner = functional.relu(self.norm1(self.conv1(features)), inplace=True)
        inner = self.norm2(self.conv2(inner))
        inner += self.shortcut(features)
        return functional.relu(inner, inplace=True)


class Residual(nn.Module):
    """A stem, then stages of residual blocks, each stage but the first halving the map.

    Args:
        in_channels: Channels of the input image.
        stem: Channels of the first convolution.
        stem_kernel: Its side, odd.
        stem_stride: Its stride.
        widths: Channels of each stage.
        blocks: Residual blocks of each stage.
        reduce: If not 0, a last 1x1 convolution brings the map to so many channels, for a
            smaller linear layer after it.

    Raises:
        TypeError: The options do not go together.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        stem: int = 32,
        stem_kernel: int = 5,
        stem_stride: int = 2,
        widths: Sequence[int] = (32, 64, 128, 256),
        blocks: Sequence[int] = (1, 2, 2, 1),
        reduce: int = 0,
    ) -> None:
        super().__init__()
        if len(widths) != len(blocks) or not widths or min(*widths, *blocks) < 1:
            raise TypeError("widths and blocks must be two lists of one length, all above 0")
        if stem < 1 or stem_kernel % 2 != 1 or stem_stride < 1 or reduce < 0:
            raise TypeError("stem and stem_stride must be above 0, stem_kernel odd, reduce not < 0")
        self.stem = _convolution(in_channels, stem, stem_kernel, stem_stride)
        layers: list[nn.Module] = []
        channels = stem
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for position in range(count):
                layers.append(_Block(channels, width, 2 if stage and not position else 1))
                channels = width
        if reduce:
            layers.append(_convolution(channels, reduce, 1, 1))
        self.stages = nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) → (N, C, h, w)."""
        features: torch.Tensor = self.stages(self.stem(images))
        return features


def _convolution(channels: int, width: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )
