"""What every augmentation offers."""

from abc import ABC, abstractmethod

import torch

from model_store.preprocessing import Preprocessing


class Augmentation(ABC):
    """Changes a whole batch at once, on the device it is on.

    Built as `Augmentation(preprocessing, **options)`.

    Args:
        preprocessing: What the images were prepared with; its `fill` is what moves into view
            beyond the border.

    Attributes:
        mirrors: Whether some images are shown mirrored, as images of the same class.
        size: Rows and columns of the pictures that come out.
    """

    mirrors = False

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing
        self.size = (preprocessing.height, preprocessing.width)

    @abstractmethod
    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The changed batch.

        Args:
            images: uint8 (N, height, width, channels).
            generator: On the CPU, the only source of randomness.

        Returns:
            (N, *size, channels), the same range (0–255), uint8 or float32.
        """
