"""What pixels look like, in numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.typicality import Pixels, pixel_statistics
from model_store.typicality.pixels import COUNT

FLAT = np.log(0.004)


def test_a_flat_image_is_its_brightness_and_nothing_else() -> None:
    (found,) = pixel_statistics(np.full((1, 50, 60, 3), 51, np.uint8))
    assert found[[0, 2, 3, 4, 5, 6]] == pytest.approx(np.full(6, 0.2))
    assert found[[1, 7, 8, 9, 10]] == pytest.approx(np.full(5, FLAT))
    assert found[11] == 0


def test_stripes_are_worked_out_by_hand() -> None:
    """Columns of 0 and 255 by turns: neighbours differ by all across and by nothing down."""
    image = np.zeros((1, 9, 9, 1), np.uint8)
    image[:, :, 1::2] = 255
    (found,) = pixel_statistics(image)
    # Of the first eight columns half are dark, and neighbours are looked for in rows alone.
    assert found[0] == pytest.approx(0.5)
    assert found[1] == pytest.approx(np.log(0.5 + 0.004))
    assert found[[2, 3, 5, 6]] == pytest.approx([0, 0, 1, 1])
    assert found[[7, 8]] == pytest.approx(np.full(2, np.log(1 + 0.004)), abs=1e-6)
    assert found[9] == pytest.approx(FLAT), "four apart the stripes are the same"


def test_quantiles_are_the_values_at_their_ranks() -> None:
    """Of 0 … 99 at ⌊share · 99⌋: descriptions in a store were made of these."""
    (found,) = pixel_statistics(np.arange(101, dtype=np.uint8).reshape(1, 1, 101, 1))
    assert 255 * found[2:7] == pytest.approx([1, 24, 49, 74, 97], abs=1e-4)


def test_of_a_large_image_every_so_many_pixels_are_taken() -> None:
    """56 across the shorter side: every second, of columns that are as bright as their number."""
    (found,) = pixel_statistics(
        np.broadcast_to(np.arange(112, dtype=np.uint8), (56, 112))[None, ..., None]
    )
    assert 255 * found[0] == pytest.approx(54), "of 0, 2 … 108"
    apart = 255 * (np.exp(found[[7, 8, 9]]) - 0.004)
    assert apart == pytest.approx([1, 2, 8], abs=1e-3), "neighbours, and one and four taken apart"


def test_colours_are_told_from_grey() -> None:
    image = np.zeros((1, 8, 8, 3), np.uint8)
    image[..., 0] = 255
    (found,) = pixel_statistics(image)
    assert found[10] == pytest.approx(np.log(1 + 0.004), abs=1e-6)
    assert found[11] == 1
    assert found[0] == 0, "brightness is green's"


def test_red_is_held_against_green_and_blue_with_its_sign() -> None:
    (found,) = pixel_statistics(np.full((1, 8, 8, 3), (10, 50, 100), np.uint8))
    assert 255 * (np.exp(found[10]) - 0.004) == pytest.approx(40, abs=1e-3)
    assert 255 * found[11] == pytest.approx(-90)


@given(
    st.integers(1, 3),
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from([1, 3]),
    st.integers(0, 99),
)
def test_images_of_any_size_are_measured_alone_as_among_others(
    count: int, height: int, width: int, channels: int, seed: int
) -> None:
    images = np.random.default_rng(seed).integers(
        0, 256, (count, height, width, channels), dtype=np.uint8
    )
    together = pixel_statistics(images)
    assert together.shape == (count, COUNT)
    assert np.isfinite(together).all()
    alone = np.concatenate([pixel_statistics(image[None]) for image in images])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)


def test_the_distance_is_mahalanobis_in_logarithms() -> None:
    """Twice the spread in one direction: a distance of 2."""
    whitening = np.diag(1 / np.arange(1, COUNT + 1)).astype(np.float32)
    pixels = Pixels(np.ones(COUNT, np.float32), whitening)
    statistics = np.ones((2, COUNT), np.float32)
    statistics[0, 2] += 2 * 3
    found = pixels.distance(statistics)
    assert found[0] == pytest.approx(np.log(2))
    assert found[1] == pytest.approx(FLAT), "and never minus infinity"


def test_the_whitening_is_applied_to_columns() -> None:
    """W·(3, 0, …) is its first column times 3, whatever stands above the diagonal."""
    whitening = np.eye(COUNT, dtype=np.float32)
    whitening[0, 1] = 1
    statistics = np.eye(COUNT, dtype=np.float32)[:2] * 3
    found = Pixels(np.zeros(COUNT, np.float32), whitening).distance(statistics)
    assert found == pytest.approx([np.log(3), np.log(3 * np.sqrt(2))])
