"""Where the ink is, against moments worked out by hand."""

import math

import numpy as np
import pytest
from PIL import Image

from model_store.ink import cut_out, ink_box


def paper(width: int, height: int, value: int = 255) -> Image.Image:
    return Image.new("L", (width, height), value)


def spread_of(width: int, height: int) -> float:
    """Of an evenly inked rectangle: n places one apart have a variance of (n² − 1) / 12."""
    return math.sqrt((width**2 - 1) / 12 + (height**2 - 1) / 12)


@pytest.mark.parametrize(
    ("aspect", "wide", "high"), [(1.0, 1.0, 1.0), (2.0, 2.0, 1.0), (0.5, 1.0, 2.0)]
)
@pytest.mark.parametrize(("light", "ink"), [(255, 0), (0, 255), (200, 100)])
def test_the_box_is_around_the_centre_of_mass_and_as_large_as_its_spread(
    aspect, wide, high, light, ink
):
    picture = paper(100, 100, light)
    picture.paste(ink, (20, 30, 60, 40))
    half = 2 * spread_of(40, 10)
    expected = (40 - half * wide, 35 - half * high, 40 + half * wide, 35 + half * high)
    assert ink_box(picture, paper=light, span=2, aspect=aspect) == pytest.approx(expected)


def test_a_full_stop_stays_small_on_its_paper():
    picture = paper(100, 60)
    picture.paste(0, (10, 20, 12, 22))
    # A quarter of the longer side, whatever the span: 12.5 either way.
    assert ink_box(picture, paper=255, span=2, aspect=1) == (11 - 12.5, 21 - 12.5, 23.5, 33.5)


@pytest.mark.parametrize(
    ("aspect", "box"), [(1, (0, -20, 80, 60)), (2, (0, 0, 80, 40)), (0.5, (0, -60, 80, 100))]
)
def test_around_an_empty_page_all_of_it_is_taken(aspect, box):
    picture = paper(80, 40)
    picture.paste(255 - 15, (3, 4, 9, 10))  # A smudge, one level short of ink.
    assert ink_box(picture, paper=255, span=2, aspect=aspect) == box
    picture.paste(255 - 16, (3, 4, 9, 10))
    across, down = 6, 7
    assert ink_box(picture, paper=255, span=2, aspect=1) == (
        across - 10,
        down - 10,
        across + 10,
        down + 10,
    )


def test_ink_counts_by_its_contrast_and_faint_ink_not_at_all():
    picture = paper(100, 100)
    picture.paste(255 - 200, (10, 10, 12, 12))
    picture.paste(255 - 100, (70, 40, 72, 42))
    left, top, right, bottom = ink_box(picture, paper=255, span=2, aspect=1)
    # Twice as black, twice the mass.
    assert (left + right) / 2 == pytest.approx((2 * 11 + 71) / 3)
    assert (top + bottom) / 2 == pytest.approx((2 * 11 + 41) / 3)
    picture.paste(255 - 99, (70, 40, 72, 42))
    left, top, right, bottom = ink_box(picture, paper=255, span=2, aspect=1)
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((11, 11))


def test_the_box_of_a_large_picture_is_in_its_own_pixels():
    picture = paper(1024, 1024)
    picture.paste(0, (200, 300, 600, 400))
    half = 2 * spread_of(400, 100)
    expected = (400 - half, 350 - half, 400 + half, 350 + half)
    assert ink_box(picture, paper=255, span=2, aspect=1) == pytest.approx(expected, abs=1)


def test_what_lies_beyond_the_picture_is_filled():
    picture = Image.new("RGB", (4, 4), (9, 8, 7))
    made = cut_out(
        picture, (-4, -2, 6, 8), (10, 10), fill=(70, 60, 50), resampling=Image.Resampling.BILINEAR
    )
    expected = np.full((10, 10, 3), (70, 60, 50))
    expected[2:6, 4:8] = (9, 8, 7)
    assert np.array_equal(np.asarray(made), expected)
