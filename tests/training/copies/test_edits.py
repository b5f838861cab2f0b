"""What an edit does to a picture, and that it does it to pictures of any shape."""

import numpy as np
import pytest
from PIL import Image

from training.copies.edits import (
    EDITS,
    blur,
    colours,
    crop,
    frame,
    grey,
    mirror,
    noise,
    patch,
    small,
    turn,
)

KEPT_SIZE = ("blur", "colours", "grey", "mirror", "noise", "patch", "text")


def photo(width=120, height=80) -> Image.Image:
    """Colours that run across and down, so that every place of it looks different."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    values = np.stack([across, down, (across + 2 * down) % 256], axis=2)
    return Image.fromarray(values.astype(np.uint8))


def drawn(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_changes_a_picture_and_leaves_the_one_given(name):
    before = photo()
    edited = EDITS[name](before, drawn())
    assert edited.mode == "RGB"
    assert edited.size != before.size or np.any(np.asarray(edited) != np.asarray(before))
    np.testing.assert_array_equal(np.asarray(before), np.asarray(photo()))


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_an_edit_takes_the_smallest_and_the_longest_pictures(name, size):
    for seed in range(5):
        edited = EDITS[name](photo(*size), drawn(seed))
        assert min(edited.size) >= 1


@pytest.mark.parametrize("name", EDITS)
def test_what_is_drawn_decides_alone(name):
    first, again = (np.asarray(EDITS[name](photo(), drawn(3))) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("name", KEPT_SIZE)
def test_most_edits_keep_the_size(name):
    assert EDITS[name](photo(), drawn()).size == (120, 80)


def test_a_crop_is_a_part_of_the_picture_of_40_to_85_percent():
    # Red says how far across a pixel was, green how far down.
    whole = np.asarray(photo()).astype(int)
    for seed in range(50):
        part = np.asarray(crop(photo(), drawn(seed))).astype(int)
        height, width = part.shape[:2]
        assert 0.38 < width * height / (120 * 80) < 0.87
        assert 0.75 * 1.49 < width / height < 1.5 * 1.34
        top = np.flatnonzero(whole[:, 0, 1] == part[0, 0, 1])[0]
        left = np.flatnonzero(whole[0, :, 0] == part[0, 0, 0])[0]
        np.testing.assert_array_equal(part, whole[top : top + height, left : left + width])


def test_a_mirrored_picture_runs_the_other_way():
    values = np.asarray(mirror(photo(), drawn()))
    np.testing.assert_array_equal(values, np.asarray(photo())[:, ::-1])


def test_a_grey_picture_has_no_colour_left():
    values = np.asarray(grey(photo(), drawn())).astype(int)
    assert np.ptp(values, axis=2).max() == 0


def test_small_is_20_to_60_percent():
    shares = [small(photo(1000, 500), drawn(seed)).width / 1000 for seed in range(50)]
    assert 0.2 <= min(shares) < 0.25
    assert 0.55 < max(shares) <= 0.6


def test_a_frame_holds_the_whole_picture():
    whole = np.asarray(photo())
    for seed in range(20):
        framed = np.asarray(frame(photo(), drawn(seed)))
        height, width = framed.shape[:2]
        assert 1.14 * 120 < width < 1.71 * 120
        assert 80 <= height < 1.71 * 80
        places = ((top, left) for top in range(height - 79) for left in range(width - 119))
        assert any(
            np.array_equal(framed[top, left], whole[0, 0])
            and np.array_equal(framed[top : top + 80, left : left + 120], whole)
            for top, left in places
        )


def test_a_patch_hides_at_most_a_fifth():
    for seed in range(20):
        differs = np.any(np.asarray(patch(photo(), drawn(seed))) != np.asarray(photo()), axis=2)
        assert 0.02 < differs.mean() < 0.22
        down, across = (np.flatnonzero(differs.any(axis=axis)) for axis in (1, 0))
        assert 0.18 * 80 < np.ptp(down) + 1 < 0.47 * 80
        assert 0.18 * 120 < np.ptp(across) + 1 < 0.47 * 120


def test_a_flat_grey_picture_shows_how_bright_colours_make_it():
    """Contrast and saturation leave it as it is."""
    flat = Image.new("RGB", (20, 20), (100, 100, 100))
    found = [np.asarray(colours(flat, drawn(seed))).mean() for seed in range(100)]
    assert 59 <= min(found) < 65
    assert 145 < max(found) <= 150


def test_a_turned_picture_is_turned_by_2_to_12_degrees_either_way():
    """A light bar across a dark picture: its ends say how far."""
    bar = np.zeros((201, 201, 3), np.uint8)
    bar[98:103] = 255
    angles = []
    for seed in range(60):
        values = np.asarray(turn(Image.fromarray(bar), drawn(seed))).astype(float)[..., 0]
        middle = values.shape[1] // 2
        # Not so far from the middle that what lies beyond the edges is met.
        heights = [
            np.average(np.arange(40), weights=values[values.shape[0] // 2 - 20 :, column][:40])
            for column in (middle - 60, middle + 60)
        ]
        angles.append(np.degrees(np.arctan2(heights[1] - heights[0], 120)))
    sizes = np.abs(angles)
    assert 1.8 < sizes.min() < 3.5
    assert 10.5 < sizes.max() < 12.2
    assert min(angles) < -5 < 5 < max(angles)


def test_noise_is_of_8_to_24_values():
    flat = Image.new("RGB", (100, 100), (128, 128, 128))
    found = [np.asarray(noise(flat, drawn(seed))).std() for seed in range(50)]
    assert 7.8 < min(found) < 10
    assert 22 < max(found) < 24.2


def test_how_far_a_blur_reaches_goes_by_the_shorter_side():
    edge = np.zeros((200, 2000, 3), np.uint8)
    edge[:, 1000:] = 255
    spreads = []
    for seed in range(30):
        values = np.asarray(blur(Image.fromarray(edge), drawn(seed))).astype(float)[100, :, 0]
        slope = np.diff(values) / 255
        places = np.arange(len(slope)) - 999
        spreads.append((slope @ places**2 - (slope @ places) ** 2) ** 0.5)
    # 0.4 to 1 % of 200 pixels; Pillow's Gaussian is made of three boxes.
    assert 0.7 < min(spreads) < 1.1
    assert 1.7 < max(spreads) < 2.3
