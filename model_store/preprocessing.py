"""From a decoded image to what the network sees. Training and serving both call this code.

Two steps, because they run in different places: `prepare` (on the CPU, per image) brings an image
to the network's size as uint8; `normalise` (on the device, per batch) turns uint8 into the float
tensor that the backbone takes. Between the two an image is four times smaller than as float32.
"""

from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch.nn import functional

from model_store.ink import cut_out, ink_box

UInt8Image = npt.NDArray[np.uint8]

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# Above this factor Pillow first averages whole pixels: several times faster on large photos, and
# by Pillow's documentation indistinguishable from plain resampling from 3.0 on.
_REDUCING_GAP = 3.0
# Pixels of an image that a crop may be off by.
_MISS = 1 / 32
_NEGLIGIBLE = 1e-9


class Preprocessing(BaseModel):
    """How an image becomes the network's input.

    Attributes:
        height: Rows of the network's input, in pixels.
        width: Columns of the network's input, in pixels.
        mode: `RGB` (three channels) or `L` (one, grey).
        invert: Whether every value v becomes 255 − v, first of all: light ink on dark paper is
            then what a network for dark ink on light paper takes.
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

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    height: Annotated[int, Field(ge=8, le=1024)]
    width: Annotated[int, Field(ge=8, le=1024)]
    mode: Literal["RGB", "L"]
    invert: bool = False
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
        return len(self.mode)

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
    if spec.invert:
        image = ImageOps.invert(image)
    target = (spec.width, spec.height)
    if spec.resize == "ink":
        grey = image if image.mode == "L" else image.convert("L")
        box = ink_box(grey, paper=spec.fill, span=spec.ink_span, aspect=spec.width / spec.height)
        image = cut_out(
            image,
            box,
            target,
            fill=(spec.fill,) * spec.channels,
            resampling=_RESAMPLING[spec.interpolation],
            reducing_gap=_REDUCING_GAP,
        )
        return np.array(image, dtype=np.uint8).reshape(spec.shape)
    if spec.resize == "crop":
        return _cropped(image, spec)
    if spec.resize == "letterbox" and image.width * spec.height != image.height * spec.width:
        inner = spec.decode_size(*image.size)
        inner = (min(inner[0], spec.width), min(inner[1], spec.height))
        canvas = np.full(spec.shape, spec.fill, np.uint8)
        left, top = (target[0] - inner[0]) // 2, (target[1] - inner[1]) // 2
        canvas[top : top + inner[1], left : left + inner[0]] = _resized(image, inner, spec)
        return canvas
    return _resized(image, target, spec)


def _resized(image: Image.Image, size: tuple[int, int], spec: Preprocessing) -> UInt8Image:
    """An image at another (width, height), as uint8 (height, width, channels)."""
    shrinking = max(image.width / size[0], image.height / size[1])
    if shrinking >= 2 * _REDUCING_GAP:
        image = image.resize(size, _RESAMPLING[spec.interpolation], reducing_gap=_REDUCING_GAP)
    pixels = np.array(image, dtype=np.uint8).reshape(image.height, image.width, spec.channels)
    if image.size == size:
        return pixels
    # PyTorch's antialiased filters on uint8 are Pillow's, with vector instructions.
    filtered = functional.interpolate(
        torch.from_numpy(pixels)[None].permute(0, 3, 1, 2),
        size[::-1],
        mode=spec.interpolation,
        align_corners=False,
        antialias=True,
    )
    return np.ascontiguousarray(filtered[0].permute(1, 2, 0).numpy())


def _cropped(image: Image.Image, spec: Preprocessing) -> UInt8Image:
    """The largest centred rectangle of the input's shape, times `crop_fraction`, resized."""
    target = (spec.width, spec.height)
    ratios = (length / wanted for length, wanted in zip(image.size, target, strict=True))
    scale = min(ratios) * spec.crop_fraction
    (left, beside), (top, above) = (
        _whole_pixels(length, wanted, scale)
        for length, wanted in zip(image.size, target, strict=True)
    )
    box = (left, top, image.width - left, image.height - top)
    size = (target[0] + 2 * beside, target[1] + 2 * above)
    around = _resized(image.crop(box), size, spec)
    wanted = around[above : size[1] - above, beside : size[0] - beside]
    return np.ascontiguousarray(wanted)


def _whole_pixels(length: int, wanted: int, scale: float) -> tuple[int, int]:
    """Where to cut one side of an image so that the cut lies between two of its pixels.

    The rectangle that is wanted seldom begins between two pixels, and resizing takes whole ones; a
    quarter of a pixel further is seen by a network. But some pixels of the result further out
    there is a place to cut that fits, and what is too much can be dropped from the result.

    Args:
        length: Pixels of the image.
        wanted: Pixels of the result, from the middle of the image.
        scale: Pixels of the image for each of the result.

    Returns:
        Pixels of the image to cut off at either end, and pixels of the result to drop there.
    """
    edge = max(0.0, (length - wanted * scale) / 2)
    # One long row of pixels has endless places beside what is wanted of it.
    most = min(int(edge / scale + _NEGLIGIBLE), wanted // 4)
    cuts = [edge - more * scale for more in range(most + 1)]
    misses = [abs(cut - round(cut)) for cut in cuts]
    more = next((n for n, miss in enumerate(misses) if miss < _MISS), int(np.argmin(misses)))
    return max(0, min(round(cuts[more]), (length - 1) // 2)), more


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
    return apply_normalisation(batch, *normalisation(spec, batch.device))


def normalisation(spec: Preprocessing, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """What `apply_normalisation` takes.

    Args:
        spec: The preprocessing that images are prepared with.
        device: Where they are.

    Returns:
        Scale and shift, float32 (channels,) each.
    """
    scale = torch.tensor([1 / (255 * std) for std in spec.std])
    shift = torch.tensor([-mean / std for mean, std in zip(spec.mean, spec.std, strict=True)])
    # Without waiting: a device may still be busy with all that it was told to do before.
    return scale.to(device, non_blocking=True), shift.to(device, non_blocking=True)


def apply_normalisation(
    batch: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor
) -> torch.Tensor:
    """As `normalise`, with what it needs at hand.

    Args:
        batch: As `normalise` takes it.
        scale: From `normalisation`, on the batch's device.
        shift: Likewise.

    Returns:
        As `normalise`.
    """
    pixels = batch.permute(0, 3, 1, 2).to(torch.float32)
    # Turned first: OpenVINO would otherwise go through the pixels three values at a time, which
    # takes a tenth of what all of EfficientNet-Lite0 does.
    return torch.addcmul(shift[:, None, None], pixels, scale[:, None, None])
