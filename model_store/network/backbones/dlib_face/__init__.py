"""dlib's way from a picture to a description of the face in it, in one network.

Find the face, find eyes and nose in it, cut it out upright at one size, describe it by 128 numbers.
Without the first three steps the description is worth little: on faces that are not aligned, the
equal error rate is 13 % where it is next to nothing on aligned ones.
"""

from typing import ClassVar, Literal

import torch
from torch import nn

from model_store.network.backbones.dlib_face.chip import ChipCutter
from model_store.network.backbones.dlib_face.descriptor import DIMENSION, FaceDescriptor
from model_store.network.backbones.dlib_face.detector import FaceDetector
from model_store.network.backbones.dlib_face.landmarks import LandmarkRegressor

__all__ = ["DIMENSION", "DlibFace"]

_MEAN = (122.782, 117.001, 104.298)
_SCALE = 256.0
_MIDDLE = 0.6
"""Of the picture's shorter side, what is taken for a face where none was found."""

NO_FACE = 8.0
"""How many times as long features are that no face was found for."""


class DlibFace(nn.Module):
    """Describes the best face of each picture.

    Pictures are to be normalised by dlib's means, (122.782, 117.001, 104.298) / 255, and by
    256 / 255 for the standard deviation; faces of less than 80 pixels are not found.

    Where no face is found the middle of the picture is taken for one, and its features are made
    eight times as long. A branch that scales embeddings to unit length compares them all the same;
    what tells images of a model's own kind from others goes by the length, and says that this one
    is not of its kind.

    Args:
        in_channels: Channels of the input image: 3.

    Attributes:
        subject: What it looks for.

    Raises:
        ValueError: Another number of channels.
    """

    subject: ClassVar[Literal["face"]] = "face"

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        if in_channels != 3:
            raise ValueError("it takes pictures in colour (preprocessing.mode RGB)")
        self.detector = FaceDetector()
        self.landmarks = LandmarkRegressor()
        self.cutter = ChipCutter()
        self.descriptor = FaceDescriptor()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W), normalised → (N, 128)."""
        boxes, scores = self.locate(images)
        described: torch.Tensor = self.descriptor(self.chips(images, boxes))
        factor = torch.where(scores > 0, torch.ones_like(scores), torch.full_like(scores, NO_FACE))
        return described * factor[:, None]

    def locate(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Where a face is, or the middle.

        Args:
            images: (N, 3, H, W), normalised.

        Returns:
            Boxes (N, 4), left, top, right and bottom in pixels; and scores (N,), above 0 where a
            face was found.
        """
        found, scores = self.detector(images)
        height, width = images.shape[-2:]
        half = min(height, width) * _MIDDLE / 2
        down, across = (height - 1) / 2, (width - 1) / 2
        middle = torch.tensor([across - half, down - half, across + half, down + half]).to(found)
        return torch.where(scores[:, None] > 0, found, middle), scores

    def chips(self, images: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Faces cut out.

        Args:
            images: (N, 3, H, W), normalised.
            boxes: (N, 4), from `locate`.

        Returns:
            (N, 3, 150, 150), normalised; what lies outside the picture is black, as in dlib.
        """
        mean = torch.tensor(_MEAN).to(images)[:, None, None]
        pixels = torch.round(images * _SCALE + mean)
        points = self.landmarks(torch.floor(pixels.sum(dim=1) / 3), boxes)
        cut: torch.Tensor = self.cutter(pixels, points)
        return (cut - mean) / _SCALE
