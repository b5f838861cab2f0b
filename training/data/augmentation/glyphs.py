"""What one character looks like from several hands. Never mirrored: that would be another one."""

import torch
from torch.nn import functional

from model_store.preprocessing import Preprocessing
from training.data.augmentation.base import Augmentation
from training.data.augmentation.geometry import affine, displacements, uniform, warp


class Glyphs(Augmentation):
    """Rotation, scale, shear, shift and elastic distortion in one sampling, then stroke width.

    Whether ink is dark follows from the preprocessing: `fill` is taken for the paper.

    Args:
        preprocessing: What the images were prepared with.
        rotation: Degrees either way, drawn evenly.
        scale: Logarithm of the largest factor either way, across and down apart.
        shear: Largest shear either way.
        shift: Largest shift either way, in half sides.
        elastic: Standard deviation of the displacements at their knots, in half sides; each image
            gets a share of it drawn evenly from [0, 1.5).
        knots: Knots of the displacements along a side.
        thicker: Share of the images whose strokes grow, by up to a pixel on either side.
        thinner: Share whose strokes shrink, by up to half that.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        *,
        rotation: float = 12.0,
        scale: float = 0.2,
        shear: float = 0.2,
        shift: float = 0.08,
        elastic: float = 0.06,
        knots: int = 5,
        thicker: float = 0.4,
        thinner: float = 0.3,
    ) -> None:
        super().__init__(preprocessing)
        if min(thicker, thinner) < 0 or thicker + thinner > 1:
            raise ValueError("thicker and thinner are shares: 0 or above, together at most 1")
        if knots < 2:
            raise ValueError("knots must be 2 or above")
        self.rotation = rotation
        self.scale = scale
        self.shear = shear
        self.shift = shift
        self.elastic = elastic
        self.knots = knots
        self.thicker = thicker
        self.thinner = thinner

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """As `Augmentation.__call__`; float32."""
        count, height, width, _ = images.shape
        matrices = affine(
            degrees=uniform((count,), self.rotation, generator),
            across=uniform((count,), self.scale, generator).exp(),
            down=uniform((count,), self.scale, generator).exp(),
            shear=uniform((count,), self.shear, generator),
        )
        shifts = uniform((count, 2), self.shift, generator)
        moved = None
        if self.elastic:
            strength = torch.rand(count, generator=generator) * (1.5 * self.elastic)
            moved = displacements(
                (count, height, width),
                strength=strength,
                knots=self.knots,
                generator=generator,
                device=images.device,
            )
        fill = self.preprocessing.fill
        warped = warp(images, matrices, shifts, fill=fill, displacement=moved)
        return self._strokes(warped, generator)

    def _strokes(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        chance = torch.rand(len(images), generator=generator)
        amount = torch.rand(len(images), 1, 1, 1, generator=generator)
        # The brightest neighbour grows light ink and shrinks dark ink.
        dark = self.preprocessing.fill >= 128
        grown = torch.nonzero(chance < self.thicker).flatten()
        shrunk = torch.nonzero(chance >= 1 - self.thinner).flatten()
        for chosen, factor, brightest in ((grown, 1.0, not dark), (shrunk, 0.5, dark)):
            if len(chosen):
                rows = chosen.to(images.device, non_blocking=True)
                some = images[rows]
                neighbour = _brightest(some) if brightest else -_brightest(-some)
                share = (factor * amount[chosen]).to(images.device, non_blocking=True)
                images[rows] = torch.lerp(some, neighbour, share.expand_as(some))
        return images


def _brightest(images: torch.Tensor) -> torch.Tensor:
    """The largest value in each 3x3 neighbourhood; (N, height, width, channels)."""
    return functional.max_pool2d(images.permute(0, 3, 1, 2), 3, 1, 1).permute(0, 2, 3, 1)
