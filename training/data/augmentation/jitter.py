"""What one thing looks like in several photographs of it."""

import math

import torch

from model_store.preprocessing import Preprocessing
from training.data.augmentation.base import Augmentation
from training.data.augmentation.geometry import affine, uniform, warp

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey value: ITU-R BT.601, as in Pillow."""


class Jitter(Augmentation):
    """A random crop, slightly turned, with other brightness, contrast, saturation and hue.

    Args:
        preprocessing: What the images were prepared with.
        rotation: Degrees either way, drawn evenly.
        crop: Smallest side of the crop as a share of the image's, in (0, 1]; drawn evenly from
            there to 1, and placed evenly.
        aspect: Logarithm of the largest change of the aspect ratio either way.
        brightness: Largest relative change of all values.
        contrast: Largest relative change of the distance from the image's mean.
        saturation: Largest relative change of the distance from grey.
        hue: Degrees either way by which all colours of an image are turned around grey, in
            [0, 180]: 120 take red to green. 0 where its colour is what tells a thing from others.
        light: Logarithm of the largest factor of each colour either way, drawn evenly for red,
            green and blue apart and of one mean: another colour of the light, or another white
            balance. Values grow by a power of the light, so that a factor of the light is one of
            theirs.
        mirror: Share of the images shown mirrored; 0 where left and right mean something, as in
            faces, letters and packages.
        resolution: Sides of the pictures that come out as a share of those that go in, in (0, 1];
            for networks that take any size. A crop shows things larger than the whole picture
            does, so that training at the size of service tells the network a wrong scale: at a
            share of about the mean crop the scale is right (Touvron et al. 2019, arXiv
            1906.06423), and a step takes less time.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        *,
        rotation: float = 10.0,
        crop: float = 0.7,
        aspect: float = 0.1,
        brightness: float = 0.3,
        contrast: float = 0.3,
        saturation: float = 0.3,
        hue: float = 0.0,
        light: float = 0.0,
        mirror: float = 0.0,
        resolution: float = 1.0,
    ) -> None:
        super().__init__(preprocessing)
        if not 0 < crop <= 1 or not 0 <= mirror <= 1:
            raise ValueError("crop must be in (0, 1], mirror in [0, 1]")
        if not 0 < resolution <= 1:
            raise ValueError("resolution must be in (0, 1]")
        if not 0 <= hue <= 180:
            raise ValueError("hue must be in [0, 180]")
        self.rotation = rotation
        self.crop = crop
        self.aspect = aspect
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue
        self.light = light
        self.mirror = mirror
        self.mirrors = mirror > 0
        self.size = (
            max(1, round(preprocessing.height * resolution)),
            max(1, round(preprocessing.width * resolution)),
        )

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """As `Augmentation.__call__`; float32, of `size`."""
        count = len(images)
        side = 1 - (1 - self.crop) * torch.rand(count, generator=generator)
        stretch = uniform((count,), self.aspect / 2, generator).exp()
        mirrored = torch.rand(count, generator=generator) < self.mirror
        matrices = affine(
            degrees=uniform((count,), self.rotation, generator),
            across=side * stretch * torch.where(mirrored, -1.0, 1.0),
            down=side / stretch,
            shear=torch.zeros(count),
        )
        shifts = uniform((count, 2), 1.0, generator) * (1 - side)[:, None]
        cropped = warp(images, matrices, shifts, fill=self.preprocessing.fill, size=self.size)
        return self._colours(cropped, generator).clamp_(0, 255)

    def _colours(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        factors = [
            _beside(images, 1 + uniform((len(images), 1, 1, 1), reach, generator))
            for reach in (self.brightness, self.contrast, self.saturation)
        ]
        images = images * factors[0]
        images = torch.lerp(images.mean((1, 2, 3), keepdim=True), images, factors[1])
        if images.shape[-1] == 3:
            grey = (images * _beside(images, torch.tensor(_LUMA))).sum(-1, keepdim=True)
            images = torch.lerp(grey, images, factors[2])
            if self.hue:
                degrees = uniform((len(images),), self.hue, generator)
                images = images @ _beside(images, _hue_turns(degrees))
            if self.light:
                gains = uniform((len(images), 1, 1, 3), self.light, generator)
                images = images * _beside(images, (gains - gains.mean(-1, keepdim=True)).exp())
        return images


def _hue_turns(degrees: torch.Tensor) -> torch.Tensor:
    """(N, 1, 3, 3), to the right of (red, green, blue): rotations about the axis of the greys."""
    colours = torch.arange(3)
    apart = (colours - colours[:, None]) * (2 * math.pi / 3)
    angles = degrees.view(-1, 1, 1, 1) * (math.pi / 180)
    return (1 + 2 * torch.cos(angles - apart)) / 3


def _beside(images: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Values of the CPU's on the images' device, without waiting for what that is at."""
    return values.to(images.device, non_blocking=True)
