"""One step's images, and what is known of them."""

from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class Batch:
    """Images that are embedded once each, however many pairs they take part in.

    Attributes:
        images: (N, height, width, channels), uint8, or float from augmentation; values 0–255.
        labels: int64 (N,), each image's class.
        groups: int64 (N,), the group of each image's class; all 0 where the data has no groups.
        pairs: int64 (P, 2), rows of `images` to be compared (left, right); None from samplers
            that draw classes rather than pairs.
        on_right: bool (N,), whether each image is on the right side; None where sides are of no
            account.
        same: float32 (P,), 1 for a genuine pair and 0 for an impostor pair.
        progress: The share of the whole training that is done halfway through this step, in (0, 1).
    """

    images: torch.Tensor
    labels: torch.Tensor
    groups: torch.Tensor
    pairs: torch.Tensor | None = None
    same: torch.Tensor | None = None
    on_right: torch.Tensor | None = None
    progress: float = 0.0

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return replace(
            self,
            images=self.images.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            groups=self.groups.to(device, non_blocking=True),
            pairs=None if self.pairs is None else self.pairs.to(device, non_blocking=True),
            same=None if self.same is None else self.same.to(device, non_blocking=True),
            on_right=None if self.on_right is None else self.on_right.to(device, non_blocking=True),
        )
