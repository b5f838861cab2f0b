"""Who it is: dlib's face network.

A residual network of 29 convolutions (King 2017, "High quality face recognition with deep metric
learning"; the layers are those of dlib's example `dnn_face_recognition_ex`), trained on three
million pictures of 7,485 people so that pictures of one person lie within 0.6 of each other.
"""

import torch
from torch import nn
from torch.nn import functional

DIMENSION = 128
_STEM = 32
# Blocks of each width; the first of each but the first width halves the map.
_STAGES = ((32, 3), (64, 4), (128, 3), (256, 3))
_LAST = 256


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut without weights.

    Where the block halves the map, the shortcut is pooled and the missing channels are 0. dlib does
    not pad strided convolutions, so the two may differ by a row: the smaller is filled with 0, too.
    """

    def __init__(self, channels: int, width: int, *, halves: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 2 if halves else 1, 0 if halves else 1)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1)
        self._halves = halves

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        inner = self.conv2(functional.relu(self.conv1(features), inplace=True))
        if not self._halves:
            return functional.relu(inner + features)
        beside = functional.avg_pool2d(features, 2)
        shape = [max(sides) for sides in zip(inner.shape[1:], beside.shape[1:], strict=True)]
        return functional.relu(_filled(inner, shape) + _filled(beside, shape))


def _filled(features: torch.Tensor, shape: list[int]) -> torch.Tensor:
    """Features (N, …) with 0 behind the end of each dimension, up to a shape."""
    missing = [more - few for more, few in zip(shape, features.shape[1:], strict=True)]
    return functional.pad(features, [pad for more in missing[::-1] for pad in (0, more)])


class FaceDescriptor(nn.Module):
    """Describes a face by 128 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, _STEM, 7, 2)
        blocks: list[nn.Module] = []
        channels = _STEM
        for stage, (width, count) in enumerate(_STAGES):
            for position in range(count):
                blocks.append(_Block(channels, width, halves=stage > 0 and position == 0))
                channels = width
        blocks.append(_Block(channels, _LAST, halves=True))
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(_LAST, DIMENSION, bias=False)

    def forward(self, chips: torch.Tensor) -> torch.Tensor:
        """(N, 3, 150, 150), (value − mean) / 256 with dlib's means → (N, 128)."""
        features = functional.max_pool2d(functional.relu(self.stem(chips), inplace=True), 3, 2)
        described: torch.Tensor = self.linear(self.blocks(features).mean(dim=(-2, -1)))
        return described
