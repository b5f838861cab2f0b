"""What an edit does to a picture, and that it does it to pictures of any shape."""

import numpy as np
import pytest
from PIL import Image

from training.copies.edits import EDITS, crop, frame, grey, mirror, patch, small

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
