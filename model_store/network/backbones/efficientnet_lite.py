"""EfficientNet-Lite0, -Lite1 and -Lite2 without their classifiers.

EfficientNet (Tan, Le 2019, arXiv 1905.11946) without squeeze-and-excitation and with ReLU6 for
swish, as released by its authors for small devices ("EfficientNet-Lite", TensorFlow TPU
repository, 2020). 3.4, 4.1 and 4.8 million parameters without the classifier.
"""

import math
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

# repeats, kernel, stride, expansion, channels; of Lite0, which the others are multiples of
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280


class SamePadConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: to ⌈size / stride⌉, the odd pixel at the end."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (nn.Conv2d's name)
        """(N, C, H, W) → (N, out_channels, ⌈H/stride⌉, ⌈W/stride⌉)."""
        pads: list[int] = []
        for size, kernel, stride in zip(
            input.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
        ):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        if pads[0] == pads[1] and pads[2] == pads[3]:
            return functional.conv2d(
                input, self.weight, self.bias, self.stride, (pads[2], pads[0]), 1, self.groups
            )
        padded = functional.pad(input, pads)
        return functional.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)


class _ConvNormAct(nn.Sequential):
    def __init__(
        self,
        channels: int,
        width: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: bool = True,
    ) -> None:
        layers: list[nn.Module] = [
            SamePadConv2d(channels, width, kernel, stride, groups=groups, bias=False),
            nn.BatchNorm2d(width, momentum=0.01, eps=1e-3),
        ]
        if activation:
            layers.append(nn.ReLU6(inplace=True))
        super().__init__(*layers)


class _InvertedResidual(nn.Module):
    def __init__(
        self, channels: int, width: int, *, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        inner = channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(_ConvNormAct(channels, inner))
        layers.append(_ConvNormAct(inner, inner, kernel=kernel, stride=stride, groups=inner))
        layers.append(_ConvNormAct(inner, width, activation=False))
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and channels == width

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layers(features)
        return out + features if self.residual else out


class EfficientNetLite0(nn.Module):
    """Stem, sixteen inverted-residual blocks and the 1x1 head convolution; meant for 224 pixels.

    Args:
        in_channels: Channels of the input image.
        depth: Blocks that are kept, from 1, with no head after the last of them; None for all of
            the network. What a network learnt for one task serves another one best from a layer
            before the last (Yosinski et al. 2014, arXiv 1411.1792).

    Raises:
        ValueError: There are not so many blocks.
    """

    width_factor: ClassVar[float] = 1.0
    depth_factor: ClassVar[float] = 1.0

    def __init__(self, in_channels: int = 3, depth: int | None = None) -> None:
        super().__init__()
        self.stem = _ConvNormAct(in_channels, _STEM, kernel=3, stride=2)
        blocks: list[nn.Module] = []
        channels = _STEM
        for number, (repeats, kernel, stride, expansion, width) in enumerate(_STAGES):
            # The first and last stage are as deep in each of the family, as stem and head are as
            # wide.
            inner = 0 < number < len(_STAGES) - 1
            for position in range(math.ceil(repeats * self.depth_factor) if inner else repeats):
                blocks.append(
                    _InvertedResidual(
                        channels,
                        _in_eights(width * self.width_factor),
                        kernel=kernel,
                        stride=stride if position == 0 else 1,
                        expansion=expansion,
                    )
                )
                channels = _in_eights(width * self.width_factor)
        if depth is not None and not 1 <= depth <= len(blocks):
            raise ValueError(f"depth must be 1 to {len(blocks)}")
        self.blocks = nn.Sequential(*blocks[:depth])
        self.head = _ConvNormAct(channels, _HEAD) if depth is None else nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, H, W) → (N, 1280, ⌈H/32⌉, ⌈W/32⌉); with a `depth`, that block's map."""
        features: torch.Tensor = self.head(self.blocks(self.stem(images)))
        return features


class EfficientNetLite1(EfficientNetLite0):
    """The same in 21 blocks; meant for 240 pixels."""

    depth_factor = 1.1


class EfficientNetLite2(EfficientNetLite0):
    """The same in 21 blocks, most of them a tenth wider; meant for 260 pixels."""

    width_factor = 1.1
    depth_factor = 1.2


def _in_eights(channels: float) -> int:
    """The nearest multiple of eight."""
    return int(channels + 4) // 8 * 8
