"""Affine and elastic distortion of whole batches through one sampling grid."""

import math

import torch
from torch.nn import functional


def uniform(shape: tuple[int, ...], reach: float, generator: torch.Generator) -> torch.Tensor:
    """float32 values drawn evenly from [−reach, reach)."""
    return (torch.rand(shape, generator=generator) * 2 - 1) * reach


def affine(
    *, degrees: torch.Tensor, across: torch.Tensor, down: torch.Tensor, shear: torch.Tensor
) -> torch.Tensor:
    """Matrices that take a place in the output to the place in the input that is shown there.

    Rotation · shear · scale: lengths across are first scaled, then sheared, then turned.

    Args:
        degrees: (N,), of rotation.
        across: (N,), factors by which the input is sampled more widely; 2 halves what is shown.
        down: (N,), likewise.
        shear: (N,), places moved across per place down.

    Returns:
        (N, 2, 2), for column vectors (x, y).
    """
    angle = degrees * (math.pi / 180)
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = [cos * across, (cos * shear - sin) * down, sin * across, (sin * shear + cos) * down]
    return torch.stack(rows, -1).view(-1, 2, 2)


def displacements(
    shape: tuple[int, int, int],
    *,
    strength: torch.Tensor,
    knots: int,
    generator: torch.Generator,
    device: torch.device,
) -> torch.Tensor:
    """Smooth random displacements: normal values on a coarse grid, interpolated bicubically.

    After Simard, Steinkraus, Platt 2003, whose smoothing is Gaussian; the coarse grid costs less.

    Args:
        shape: (N, height, width).
        strength: (N,), standard deviation at the knots, in half image sides.
        knots: Knots of the coarse grid along a side.
        generator: Source of randomness.
        device: Where they are wanted.

    Returns:
        float32 (N, height, width, 2), in half image sides, (x, y) last.
    """
    count, height, width = shape
    coarse = torch.randn(count, 2, knots, knots, generator=generator) * strength.view(-1, 1, 1, 1)
    # Interpolation is a product with a matrix a side, many times faster than doing it per image.
    smooth = (
        _bicubic(knots, height, device)
        @ coarse.to(device, non_blocking=True)
        @ _bicubic(knots, width, device).T
    )
    return smooth.permute(0, 2, 3, 1)


def _bicubic(knots: int, pixels: int, device: torch.device) -> torch.Tensor:
    """(pixels, knots): what each knot along a side, the ends at its ends, gives to each pixel."""
    units = torch.eye(knots, device=device).view(1, knots, knots, 1)
    spread = functional.interpolate(units, size=(pixels, 1), mode="bicubic", align_corners=True)
    return spread[0, :, :, 0].T


def warp(
    images: torch.Tensor,
    matrices: torch.Tensor,
    shifts: torch.Tensor,
    *,
    fill: int,
    displacement: torch.Tensor | None = None,
    size: tuple[int, int] | None = None,
) -> torch.Tensor:
    """Samples every image where its matrix, shift and displacement say, bilinearly.

    Args:
        images: (N, height, width, channels), uint8 or float.
        matrices: (N, 2, 2) from `affine`. They act on square pixels, whatever the image's shape.
        shifts: (N, 2), (x, y) in half sides, added after the matrices.
        fill: Value of what lies beyond the border.
        displacement: (N, height, width, 2) in half sides, or none; of the output's size.
        size: Rows and columns of the output; the input's if not given. It shows as much.

    Returns:
        float32 (N, height, width, channels).
    """
    count, height, width, _ = images.shape
    device = images.device
    rows, columns = size or (height, width)
    # Side lengths in units of the longer one, so that a turned square stays a square.
    sides = torch.tensor([width, height], dtype=torch.float32) / max(width, height)
    sides = sides.to(device, non_blocking=True)
    base = torch.stack(
        torch.meshgrid(_centres(columns, device), _centres(rows, device), indexing="xy"), -1
    )
    matrices = matrices.to(device, non_blocking=True)
    turned = (base.view(1, -1, 2) * sides) @ matrices.transpose(1, 2) / sides
    moved = shifts.to(device, non_blocking=True).view(-1, 1, 2)
    grid = (turned + moved).view(count, rows, columns, 2)
    if displacement is not None:
        grid = grid + displacement.to(device, non_blocking=True)
    # grid_sample knows only 0 beyond the border, so 0 is made to mean `fill`.
    sampled = functional.grid_sample(
        images.permute(0, 3, 1, 2).to(torch.float32) - fill,
        grid,
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )
    return sampled.add_(fill).permute(0, 2, 3, 1)


def _centres(pixels: int, device: torch.device) -> torch.Tensor:
    """Centres of pixels along a side that goes from −1 to 1."""
    return (torch.arange(pixels, dtype=torch.float32, device=device) * 2 + 1) / pixels - 1
