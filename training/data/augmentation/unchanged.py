"""No augmentation."""

import torch
from typing_extensions import override

from training.data.augmentation.base import Augmentation


class Unchanged(Augmentation):
    """Gives every batch back as it is."""

    @override
    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """As `Augmentation.__call__`."""
        return images
