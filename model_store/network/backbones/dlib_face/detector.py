"""Where in a picture a face is.

The detector of dlib ("mmod_human_face_detector"): a small convolutional network trained with the
max-margin loss of King 2015 (arXiv 1502.00046), slid over a pyramid of sizes. The layers, the
window of 80 x 80 pixels and how an output maps to a box are dlib's.
"""

import torch
from torch import nn
from torch.nn import functional

_DOWN = ((3, 16), (16, 32), (32, 32))
_WIDTH = 45
_KERNEL = 5
_LAST_KERNEL = 9
_STRIDE = 8
_CENTRE = 14
"""Where the first output looks at: through three unpadded 5x5 convolutions of stride 2."""

_WINDOW = 80
_SHRINK = 5 / 6
_LEAST_SIDE = 64
"""On a level of this size the window is larger than the picture by a quarter."""

_BORDER = 11
"""Pixels of the mean colour around each level, as in dlib."""


class FaceDetector(nn.Module):
    """Finds the best face of each picture."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, width in _DOWN:
            layers += [nn.Conv2d(channels, width, _KERNEL, 2), nn.ReLU(inplace=True)]
        channels = _DOWN[-1][1]
        for _ in range(3):
            layers += [nn.Conv2d(channels, _WIDTH, _KERNEL, 1, _KERNEL // 2), nn.ReLU(inplace=True)]
            channels = _WIDTH
        layers.append(nn.Conv2d(channels, 1, _LAST_KERNEL, 1, _LAST_KERNEL // 2))
        self.layers = nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Looks for faces from 80 pixels to a quarter more than the picture.

        Args:
            images: (N, 3, H, W), (value − mean) / 256 with dlib's means; 0 is the mean colour.

        Returns:
            Boxes (N, 4), left, top, right and bottom in pixels; and scores (N,), above 0 for what
            the detector takes for a face.
        """
        height, width = images.shape[-2:]
        scores: list[torch.Tensor] = []
        boxes: list[torch.Tensor] = []
        level, number = images, 0
        while True:
            found = self.layers(functional.pad(level, [_BORDER] * 4))
            scores.append(found.flatten(1))
            boxes.append(_boxes(found, level, height, width))
            number += 1
            size = [round(side * _SHRINK**number) for side in (height, width)]
            if min(size) < _LEAST_SIDE:
                break
            level = functional.interpolate(level, size, mode="bilinear", align_corners=True)
        best, position = torch.cat(scores, dim=1).max(dim=1)
        return functional.embedding(position, torch.cat(boxes)), best


def _boxes(found: torch.Tensor, level: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The boxes in the picture that a level's outputs stand for, (h · w, 4), row by row."""
    centres = [
        torch.arange(count, dtype=torch.float32, device=found.device) * _STRIDE + _CENTRE - _BORDER
        for count in found.shape[-2:]
    ]
    down, across = torch.meshgrid(*centres, indexing="ij")
    half = (_WINDOW - 1) / 2
    corners = torch.stack([across - half, down - half, across + half, down + half], dim=-1)
    rows, columns = level.shape[-2:]
    scale = torch.tensor([(width - 1) / (columns - 1), (height - 1) / (rows - 1)] * 2)
    return (corners * scale.to(corners)).reshape(-1, 4)
