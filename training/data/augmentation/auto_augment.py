"""Photos varied by policies that others have found: AutoAugment, RandAugment, TrivialAugment.

What is drawn comes from the batch's generator alone. torchvision's own transforms draw from
PyTorch's global one, which threads that work on batches side by side would share.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch

from model_store.preprocessing import Preprocessing
from training.data.augmentation.base import Augmentation
from training.data.augmentation.geometry import affine, uniform, warp

Operation = Callable[[torch.Tensor, float], torch.Tensor]
"""Changes one image, uint8 (channels, height, width), by so much."""

_BINS = 31
"""Strengths that RandAugment and TrivialAugment know: 0, the weakest, to 30."""

_STRONGEST = {
    "shear-x": 0.3,
    "shear-y": 0.3,
    "translate-x": 150 / 331,
    "translate-y": 150 / 331,
    "rotate": 30.0,
    "brightness": 0.9,
    "color": 0.9,
    "contrast": 0.9,
    "sharpness": 0.9,
    "posterize": 4.0,
    "solarize": 255.0,
    "autocontrast": 0.0,
    "equalize": 0.0,
}
"""What each operation does at its strongest: tangents, shares of a side, degrees, relative changes,
bits taken away, values from 255 down that are inverted."""

_WIDER = {
    **dict.fromkeys(("shear-x", "shear-y", "brightness", "color", "contrast", "sharpness"), 0.99),
    **dict.fromkeys(("translate-x", "translate-y"), 32 / 224),
    "rotate": 135.0,
    "posterize": 6.0,
}
"""What of that is different for TrivialAugment (its "wide" space)."""

_EITHER_WAY = frozenset(
    {"shear-x", "shear-y", "translate-x", "translate-y", "rotate"}
    | {"brightness", "color", "contrast", "sharpness"}
)

_IMAGENET = tuple(
    tuple((name, float(chance), int(level) / 9) for name, chance, level in map(str.split, row))
    for row in (
        ("posterize 0.4 8", "rotate 0.6 9"),
        ("solarize 0.6 5", "autocontrast 0.6 0"),
        ("equalize 0.8 0", "equalize 0.6 0"),
        ("posterize 0.6 7", "posterize 0.6 6"),
        ("equalize 0.4 0", "solarize 0.2 4"),
        ("equalize 0.4 0", "rotate 0.8 8"),
        ("solarize 0.6 3", "equalize 0.6 0"),
        ("posterize 0.8 5", "equalize 1.0 0"),
        ("rotate 0.2 3", "solarize 0.6 8"),
        ("equalize 0.6 0", "posterize 0.4 6"),
        ("rotate 0.8 8", "color 0.4 0"),
        ("rotate 0.4 9", "equalize 0.6 0"),
        ("equalize 0.0 0", "equalize 0.8 0"),
        ("invert 0.6 0", "equalize 1.0 0"),
        ("color 0.6 4", "contrast 1.0 8"),
        ("rotate 0.8 8", "color 1.0 2"),
        ("color 0.8 8", "solarize 0.8 7"),
        ("sharpness 0.4 7", "invert 0.6 0"),
        ("shear-x 0.6 5", "equalize 1.0 0"),
        ("color 0.4 0", "equalize 0.6 0"),
        ("equalize 0.4 0", "solarize 0.2 4"),
        ("solarize 0.6 5", "autocontrast 0.6 0"),
        ("invert 0.6 0", "equalize 1.0 0"),
        ("color 0.6 4", "contrast 1.0 8"),
        ("equalize 0.8 0", "equalize 0.6 0"),
    )
)
"""The policy for ImageNet: pairs of operations, each with its chance and its share of strength."""


class AutoAugment(Augmentation):
    """A random crop, scaled to the whole size, and what a policy draws for each image.

    For photographs: some operations invert values or change all colours, and are wrong where
    colour or dark against light means something. The policies are those of torchvision; grey
    images have no colour to change, and the operation `color` leaves them as they are.

    Args:
        preprocessing: What the images were prepared with.
        policy: `imagenet`, one of 25 pairs of operations that were found on ImageNet (AutoAugment:
            Cubuk et al. 2019, arXiv 1805.09501); `rand-augment`, any `operations` operations of one
            `strength` (Cubuk et al. 2020, arXiv 1909.13719); or `trivial-augment`, any one of any
            strength (Müller, Hutter 2021, arXiv 2103.10158).
        operations: Of `rand-augment`: how many an image goes through.
        strength: Of `rand-augment`: from 0 to 30.
        area: Smallest share of the image's area that a crop shows, in (0, 1]; drawn evenly from
            there to 1, with an aspect ratio changed by up to 4/3. Networks for ImageNet are
            trained with 0.08, where a part of a thing is enough to know its kind by.
        mirror: Share of the images shown mirrored; 0 where left and right mean something.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        *,
        policy: Literal["imagenet", "rand-augment", "trivial-augment"] = "imagenet",
        operations: int = 2,
        strength: int = 9,
        area: float = 0.25,
        mirror: float = 0.0,
    ) -> None:
        super().__init__(preprocessing)
        draws = {
            "imagenet": self._of_imagenet,
            "rand-augment": self._of_one_strength,
            "trivial-augment": self._of_any_strength,
        }
        if policy not in draws:
            raise ValueError(f"policy must be one of {', '.join(draws)}")
        if operations < 1 or not 0 <= strength < _BINS:
            raise ValueError(f"operations must be 1 or above, strength 0 to {_BINS - 1}")
        if not 0 < area <= 1 or not 0 <= mirror <= 1:
            raise ValueError("area must be in (0, 1], mirror in [0, 1]")
        self.operations = operations
        self.strength = strength
        self.area = area
        self.mirror = mirror
        self.mirrors = mirror > 0
        self._draw = draws[policy]
        self._known = _operations(preprocessing)

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """As `Augmentation.__call__`; uint8."""
        cropped = self._cropped(images, generator).permute(0, 3, 1, 2)
        changed = []
        for image, drawn in zip(cropped, self._draw(len(images), generator), strict=True):
            for name, amount in drawn:
                image = self._known[name](image, amount)  # noqa: PLW2901
            changed.append(image)
        return torch.stack(changed).permute(0, 2, 3, 1)

    def _cropped(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        count = len(images)
        share = 1 - (1 - self.area) * torch.rand(count, generator=generator)
        stretch = uniform((count,), math.log(4 / 3), generator).exp()
        sides = torch.stack([share * stretch, share / stretch], 1).sqrt().clamp(max=1)
        mirrored = torch.rand(count, generator=generator) < self.mirror
        matrices = affine(
            degrees=torch.zeros(count),
            across=sides[:, 0] * torch.where(mirrored, -1.0, 1.0),
            down=sides[:, 1],
            shear=torch.zeros(count),
        )
        shifts = uniform((count, 2), 1.0, generator) * (1 - sides)
        cropped = warp(images, matrices, shifts, fill=self.preprocessing.fill)
        return cropped.round_().clamp_(0, 255).to(torch.uint8)

    def _of_imagenet(self, count: int, generator: torch.Generator) -> list[list[tuple[str, float]]]:
        pairs = torch.randint(len(_IMAGENET), (count,), generator=generator).tolist()
        chances = torch.rand(count, 2, generator=generator).tolist()
        signs = _signs((count, 2), generator)
        return [
            [
                (name, _amount(_STRONGEST, name, share, sign))
                for (name, likely, share), chance, sign in zip(
                    _IMAGENET[pair], chances[image], signs[image], strict=True
                )
                if chance < likely
            ]
            for image, pair in enumerate(pairs)
        ]

    def _of_one_strength(
        self, count: int, generator: torch.Generator
    ) -> list[list[tuple[str, float]]]:
        levels = [[self.strength] * self.operations] * count
        return _any_operations(_STRONGEST, levels, generator)

    def _of_any_strength(
        self, count: int, generator: torch.Generator
    ) -> list[list[tuple[str, float]]]:
        levels = torch.randint(_BINS, (count, 1), generator=generator).tolist()
        return _any_operations(_STRONGEST | _WIDER, levels, generator)


def _any_operations(
    strongest: dict[str, float], levels: list[list[int]], generator: torch.Generator
) -> list[list[tuple[str, float]]]:
    """An operation for each level, drawn evenly from all; one of them does nothing."""
    names = ["identity", *strongest]
    shape = (len(levels), len(levels[0]))
    chosen = torch.randint(len(names), shape, generator=generator).tolist()
    signs = _signs(shape, generator)
    return [
        [
            (names[number], _amount(strongest, names[number], level / (_BINS - 1), sign))
            for number, level, sign in zip(*of_image, strict=True)
        ]
        for of_image in zip(chosen, levels, signs, strict=True)
    ]


def _signs(shape: tuple[int, int], generator: torch.Generator) -> list[list[float]]:
    signs: list[list[float]] = torch.where(
        torch.rand(shape, generator=generator) < 0.5, -1.0, 1.0
    ).tolist()
    return signs


def _amount(strongest: dict[str, float], name: str, share: float, sign: float) -> float:
    return strongest.get(name, 0.0) * share * (sign if name in _EITHER_WAY else 1.0)


def _operations(preprocessing: Preprocessing) -> dict[str, Operation]:
    # Importing torchvision takes a second that only those who use it should pay.
    from torchvision.transforms.v2 import functional

    fill = [float(preprocessing.fill)]

    def moved(
        image: torch.Tensor,
        *,
        shift: tuple[float, float] = (0.0, 0.0),
        shear: tuple[float, float] = (0.0, 0.0),
    ) -> torch.Tensor:
        changed: torch.Tensor = functional.affine(
            image,
            angle=0.0,
            translate=[round(shift[0] * image.shape[-1]), round(shift[1] * image.shape[-2])],
            scale=1.0,
            shear=[math.degrees(math.atan(tangent)) for tangent in shear],
            center=[0.0, 0.0],
            fill=fill,
        )
        return changed

    return {
        "identity": lambda image, _: image,
        "shear-x": lambda image, by: moved(image, shear=(by, 0.0)),
        "shear-y": lambda image, by: moved(image, shear=(0.0, by)),
        "translate-x": lambda image, by: moved(image, shift=(by, 0.0)),
        "translate-y": lambda image, by: moved(image, shift=(0.0, by)),
        "rotate": lambda image, by: functional.rotate(image, by, fill=fill),
        "brightness": lambda image, by: functional.adjust_brightness(image, 1 + by),
        "color": lambda image, by: functional.adjust_saturation(image, 1 + by),
        "contrast": lambda image, by: functional.adjust_contrast(image, 1 + by),
        "sharpness": lambda image, by: functional.adjust_sharpness(image, 1 + by),
        "posterize": lambda image, by: functional.posterize(image, 8 - round(by)),
        "solarize": lambda image, by: functional.solarize(image, 255 - by),
        "autocontrast": lambda image, _: functional.autocontrast(image),
        "equalize": lambda image, _: functional.equalize(image),
        "invert": lambda image, _: functional.invert(image),
    }
