"""From a decoded image to what the network sees. Training and serving both call this code.

Two steps, because they run in different places: `prepare` (on the CPU, per image) brings an image
to the network's size as uint8; `normalise` (on the device, per batch) turns uint8 into the float
tensor that the backbone takes. Between the two an image is four times smaller than as float32.
"""

from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from model_store.ink import cut_out, ink_box

UInt8Image = npt.NDArray[np.uint8]

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# Above this factor Pillow first averages whole pixels: several times faster on large photos, and
# by Pillow's documentation indistinguishable from plain resampling from 3.0 on.
_REDUCING_GAP = 3.0


class Preprocessing(BaseModel):
    """How an image becomes the network's input.

    Attributes:
        height: Rows of the network's input, in pixels.
        width: Columns of the network's input, in pixels.
        mode: `RGB` (three channels) or `L` (one, grey).
        resize: `stretch` ignores the aspect ratio; `letterbox` keeps it and fills the rest with
            `fill`; `crop` keeps it and drops what lies outside the largest centred rectangle of
            the input's shape; `ink` cuts out what is drawn on a paper of value `fill`, wherever
            and however large it is (see `model_store.ink`).
        ink_span: With `ink`, half the shorter side of what is cut out, in units of the ink's root
            mean square distance from its centre of mass.
        crop_fraction: With `crop`, the part of that rectangle's sides that is kept, in (0, 1].
        interpolation: The resampling filter, antialiased.
        fill: Grey value, 0–255, of the area a letterbox leaves empty, and of the paper ink is on.
        mean: Per channel, subtracted from values in [0, 1].
        std: Per channel, the divisor after that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: Annotated[int, Field(ge=8, le=1024)]
    width: Annotated[int, Field(ge=8, le=1024)]
    mode: Literal["RGB", "L"]
    resize: Literal["stretch", "letterbox", "crop", "ink"] = "stretch"
    ink_span: Annotated[float, Field(ge=1, le=4)] = 1.9
    crop_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    fill: Annotated[int, Field(ge=0, le=255)] = 255
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]

    @model_validator(mode="after")
    def _one_value_per_channel(self) -> Self:
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise ValueError(
                f"mean and std need {self.channels} value(s) each for mode {self.mode}, "
                f"not {len(self.mean)} and {len(self.std)}"
            )
        return self

    @property
    def channels(self) -> int:
        """Channels of the network's input: 3 or 1."""
        return len(self.mode) if self.mode == "RGB" else 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of a prepared image."""
        return (self.height, self.width, self.channels)

    def decode_size(self, width: int, height: int) -> tuple[int, int]:
        """The smallest (width, height) at which decoding loses nothing that `prepare` would keep.

        Args:
            width: Columns of the full image.
            height: Rows of the full image.
        """
        across, down = self.width / width, self.height / height
        if self.resize == "stretch":
            return (self.width, self.height)
        if self.resize == "ink":  # How much of the image is wanted shows only in its pixels.
            return (width, height)
        factor = min(across, down) if self.resize == "letterbox" else max(across, down)
        factor /= self.crop_fraction if self.resize == "crop" else 1.0
        return (max(1, round(width * factor)), max(1, round(height * factor)))


def prepare(image: Image.Image, spec: Preprocessing) -> UInt8Image:
    """Brings a decoded image to the network's size and mode.

    Args:
        image: Mode `RGB` or `L`, already turned upright (see `images.decode`).
        spec: What the network wants.

    Returns:
        uint8 of shape (height, width, channels), contiguous, freshly allocated.
    """
    if image.mode != spec.mode:
        image = image.convert(spec.mode)
    target = (spec.width, spec.height)
    filter_ = _RESAMPLING[spec.interpolation]
    if spec.resize == "crop":
        box = _centred_box(image.size, target, spec.crop_fraction)
        image = image.resize(target, filter_, box=box, reducing_gap=_REDUCING_GAP)
    elif spec.resize == "ink":
        grey = image if image.mode == "L" else image.convert("L")
        box = ink_box(grey, paper=spec.fill, span=spec.ink_span, aspect=spec.width / spec.height)
        image = cut_out(
            image,
            box,
            target,
            fill=(spec.fill,) * spec.channels,
            resampling=filter_,
            reducing_gap=_REDUCING_GAP,
        )
    elif spec.resize == "letterbox" and image.width * spec.height != image.height * spec.width:
        inner = spec.decode_size(*image.size)
        inner = (min(inner[0], spec.width), min(inner[1], spec.height))
        canvas = Image.new(spec.mode, target, (spec.fill,) * spec.channels)
        corner = ((target[0] - inner[0]) // 2, (target[1] - inner[1]) // 2)
        canvas.paste(image.resize(inner, filter_, reducing_gap=_REDUCING_GAP), corner)
        image = canvas
    elif image.size != target:
        image = image.resize(target, filter_, reducing_gap=_REDUCING_GAP)
    return np.array(image, dtype=np.uint8).reshape(spec.shape)


def _centred_box(
    size: tuple[int, int], target: tuple[int, int], fraction: float
) -> tuple[float, float, float, float]:
    factor = min(size[0] / target[0], size[1] / target[1]) * fraction
    width, height = target[0] * factor, target[1] * factor
    left, top = (size[0] - width) / 2, (size[1] - height) / 2
    return (left, top, left + width, top + height)


def normalise(batch: torch.Tensor, spec: Preprocessing) -> torch.Tensor:
    """Turns prepared images into the backbone's input, on the device the batch is on.

    Args:
        batch: uint8 (N, height, width, channels), values 0–255; or float of that shape and range,
            as augmentation leaves it.
        spec: The preprocessing the images were prepared with.

    Returns:
        float32 (N, channels, height, width) in channels-last memory order:
        (value / 255 − mean) / std.
    """
    scale = torch.tensor([1 / (255 * std) for std in spec.std], device=batch.device)
    shift = torch.tensor(
        [-mean / std for mean, std in zip(spec.mean, spec.std, strict=True)], device=batch.device
    )
    return torch.addcmul(shift, batch.to(torch.float32), scale).permute(0, 3, 1, 2)
