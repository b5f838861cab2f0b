"""A face cut out of its picture upright and at one size, as dlib's `get_face_chip` does it."""

import torch
from torch import nn
from torch.nn import functional

from model_store.network.backbones.dlib_face.similarity import linear_part, times

SIDE = 150
"""Pixels of a chip's side."""

_PADDING = 0.25
# The mean of many faces, for five points.
_MEAN_FACE = (
    (0.8595674595992, 0.2134981538014),
    (0.6460604764104, 0.2289674387677),
    (0.1205750620789, 0.2137274526848),
    (0.3340850613712, 0.2290642403242),
    (0.4901123135679, 0.6277975316475),
)
_LEAST_SCALE = 0.01


class ChipCutter(nn.Module):
    """Cuts faces out, by the similarity that brings the mean face nearest to their points."""

    def __init__(self) -> None:
        super().__init__()
        # Constants of the code, no weights: they are not in checkpoints.
        self.register_buffer("fit", _fit(), persistent=False)
        steps = torch.arange(SIDE) - (SIDE - 1) / 2
        down, across = torch.meshgrid(steps, steps, indexing="ij")
        self.register_buffer("steps", torch.stack([across, down], dim=-1), persistent=False)
        self.register_buffer("turned", torch.stack([-down, across], dim=-1), persistent=False)

    def forward(self, images: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Chips of 150 pixels.

        Args:
            images: (N, C, H, W), 0 for what lies outside.
            points: (N, 5, 2), x and y in pixels, as `LandmarkRegressor` gives them.

        Returns:
            (N, C, 150, 150), interpolated linearly.
        """
        found = points.flatten(1) @ self.get_buffer("fit")
        turn, middle = found[:, :2], found[:, 2:]
        # dlib lays the chip from the middle of the first pixel to that of the last pixel of a
        # rectangle, and so a little smaller than the similarity says.
        scale = torch.linalg.vector_norm(turn, dim=1, keepdim=True).clamp(min=_LEAST_SCALE)
        turn = turn * ((SIDE - 1 / scale) / (SIDE - 1))
        across, down = turn[:, None, None, :1], turn[:, None, None, 1:]
        places = across * self.get_buffer("steps") + down * self.get_buffer("turned")
        height, width = images.shape[-2:]
        last = torch.tensor([width - 1, height - 1]).to(points)
        places = (places + middle[:, None, None]) * (2 / last) - 1
        return functional.grid_sample(
            images, places, mode="bilinear", padding_mode="zeros", align_corners=True
        )


def _fit() -> torch.Tensor:
    """From points to the similarity: (10, 4), x and y of each → its linear part, and the middle.

    The middle is where the similarity puts the point (75, 75) of the chip.
    """
    mean = torch.tensor(_MEAN_FACE, dtype=torch.float64)
    mean = (mean + _PADDING) / (2 * _PADDING + 1) * SIDE
    points = torch.eye(2 * len(mean), dtype=torch.float64).reshape(-1, len(mean), 2)
    turn = linear_part(mean, points)
    middle = points.mean(dim=1) + times(turn, SIDE / 2 - mean.mean(dim=0))
    return torch.cat([turn, middle], dim=1).float()
