"""The geometry of augmentation against a slow loop."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.data.noise import colour, generator, grey, random_images
from training.data.augmentation.geometry import affine, displacements, warp


def affine_of(degrees=0.0, across=1.0, down=1.0, shear=0.0) -> torch.Tensor:
    return affine(
        degrees=torch.tensor([degrees]),
        across=torch.tensor([across]),
        down=torch.tensor([down]),
        shear=torch.tensor([shear]),
    )


class TestWarp:
    def test_nothing_changes_without_a_change(self):
        images = random_images(2, colour(9, 13))
        warped = warp(images, affine_of().expand(2, 2, 2), torch.zeros(2, 2), fill=7)
        torch.testing.assert_close(warped, images.float(), atol=1e-2, rtol=0)

    def test_fewer_pixels_show_as_much(self):
        """Half as many across and down: each is where four met, so bilinearly their mean."""
        images = random_images(2, colour(8, 12))
        warped = warp(images, affine_of().expand(2, 2, 2), torch.zeros(2, 2), fill=7, size=(4, 6))
        expected = images.float().unflatten(1, (4, 2)).unflatten(3, (6, 2)).mean((2, 4))
        torch.testing.assert_close(warped, expected, atol=1e-2, rtol=0)

    @pytest.mark.parametrize("turns", [1, 2, 3])
    def test_quarter_turns(self, turns):
        images = random_images(1, grey(8))
        warped = warp(images, affine_of(degrees=90.0 * turns), torch.zeros(1, 2), fill=0)
        expected = torch.rot90(images, turns, (1, 2)).float()
        torch.testing.assert_close(warped, expected, atol=1e-2, rtol=0)

    @given(
        degrees=st.floats(-40, 40),
        across=st.floats(0.7, 1.4),
        shear=st.floats(-0.3, 0.3),
        shift=st.floats(-0.3, 0.3),
    )
    @settings(max_examples=15, deadline=None)
    def test_equals_the_loop_on_oblong_images(self, degrees, across, shear, shift):
        height, width, fill = 8, 11, 30
        images = random_images(1, colour(height, width))
        matrices = affine_of(degrees, across, 1.1, shear)
        found = warp(images, matrices, torch.tensor([[shift, -shift]]), fill=fill)
        for row in range(height):
            for column in range(width):
                # Pixels from the centre, turned; half sides are the unit of the shift.
                x, y = column + 0.5 - width / 2, row + 0.5 - height / 2
                (a, b), (c, d) = matrices[0].tolist()
                u = a * x + b * y + shift * width / 2 + width / 2 - 0.5
                v = c * x + d * y - shift * height / 2 + height / 2 - 0.5
                expected = bilinear(images[0].float(), u, v, fill)
                torch.testing.assert_close(found[0, row, column], expected, atol=0.1, rtol=0)


def test_displacements_equal_bicubic_interpolation():
    strength = torch.tensor([0.5, 2.0])
    found = displacements(
        (2, 11, 17), strength=strength, knots=4, generator=generator(3), device=torch.device("cpu")
    )
    coarse = torch.randn(2, 2, 4, 4, generator=generator(3)) * strength.view(2, 1, 1, 1)
    expected = torch.nn.functional.interpolate(
        coarse, size=(11, 17), mode="bicubic", align_corners=True
    )
    torch.testing.assert_close(found, expected.permute(0, 2, 3, 1))


def bilinear(image: torch.Tensor, u: float, v: float, fill: float) -> torch.Tensor:
    height, width, channels = image.shape
    total = torch.zeros(channels)
    for x in (math.floor(u), math.floor(u) + 1):
        for y in (math.floor(v), math.floor(v) + 1):
            weight = (1 - abs(u - x)) * (1 - abs(v - y))
            inside = 0 <= x < width and 0 <= y < height
            total += weight * (image[y, x] if inside else torch.full((channels,), float(fill)))
    return total
