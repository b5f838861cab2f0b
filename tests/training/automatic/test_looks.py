import weakref

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.training.drawings import draw_folder
from training.automatic import looks as looking
from training.automatic.looks import Looks, look
from training.data.opening import open_data
from training.errors import DataError


def _photos(root, sizes, *, grey=False):
    rng = np.random.default_rng(0)
    for number, (width, height) in enumerate(sizes):
        place = root / f"class{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        values = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        image = Image.fromarray(values)
        (image.convert("L") if grey else image).save(place / f"{number}.png")
    return open_data(root).whole


def test_drawings_are_ink_on_light_paper(tmp_path):
    draw_folder(tmp_path, classes=2, images=4, size=40)
    looks = look(open_data(tmp_path).whole)
    assert looks.all_ink
    assert not looks.dark_paper
    assert looks.long_side == 40
    assert looks.one_aspect
    assert "light paper" in looks.described()


def test_light_ink_on_dark_paper(tmp_path):
    draw_folder(tmp_path, classes=2, images=4)
    for path in tmp_path.rglob("*.png"):
        ImageOps.invert(Image.open(path)).save(path)
    looks = look(open_data(tmp_path).whole)
    assert looks.all_ink
    assert looks.dark_paper
    assert "dark paper" in looks.described()


def test_photos_in_colour_of_several_shapes(tmp_path):
    looks = look(_photos(tmp_path, [(60, 40), (40, 60), (50, 50), (80, 20)]))
    assert not looks.all_ink
    assert not looks.all_grey
    assert not looks.one_aspect
    assert looks.ink == looks.grey == 0


def test_grey_portraits_of_one_shape(tmp_path):
    looks = look(_photos(tmp_path, [(46, 56)] * 5 + [(92, 112)], grey=True))
    assert looks.all_grey
    assert not looks.all_ink
    assert looks.one_aspect
    assert looks.aspect == pytest.approx(46 / 56)


def test_images_that_cannot_be_decoded_are_passed_over(tmp_path):
    folder = _photos(tmp_path, [(30, 30)] * 4)
    next(tmp_path.rglob("*.png")).write_bytes(b"no image")
    assert look(folder).images == 3


def test_not_one_image(tmp_path):
    folder = _photos(tmp_path, [(30, 30)] * 4)
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match="not one"):
        look(folder)


def test_nine_in_ten_are_all():
    assert Looks(10, 9, False, 8, 100, 1.0, one_aspect=True).all_ink
    assert not Looks(10, 8, False, 9, 100, 1.0, one_aspect=True).all_ink
    assert Looks(10, 8, False, 9, 100, 1.0, one_aspect=True).all_grey
    assert not Looks(10, 9, False, 8, 100, 1.0, one_aspect=True).all_grey


def _one(root, values):
    root.mkdir()
    for name in "ab":
        (root / name).mkdir()
        Image.fromarray(values).save(root / name / "1.png")
    return look(open_data(root).whole)


@pytest.mark.parametrize(("apart", "grey"), [(0, 2), (8, 2), (9, 0), (40, 0)])
def test_a_tint_of_more_than_eight_values_is_a_colour(tmp_path, apart, grey):
    values = np.full((30, 30, 3), 100, np.uint8)
    values[..., 0] += apart
    assert _one(tmp_path / "d", values).grey == grey


@pytest.mark.parametrize(("dark", "light", "ink"), [(47, 208, 2), (48, 208, 0), (47, 207, 0)])
def test_ink_and_paper_are_near_black_and_white(tmp_path, dark, light, ink):
    values = np.full((30, 30), light, np.uint8)
    values[::2] = dark
    assert _one(tmp_path / "d", values).ink == ink


def test_thin_lines_of_a_large_drawing_stay_ink(tmp_path):
    values = np.full((1536, 1536), 255, np.uint8)
    values[::3] = 0
    assert _one(tmp_path / "d", values).all_ink


def test_the_longer_side_is_told_of_tall_and_wide_images(tmp_path):
    looks = look(_photos(tmp_path, [(60, 40), (40, 60), (60, 20)]))
    assert looks.long_side == 60


def test_images_are_not_kept_at_their_full_size(tmp_path, monkeypatch):
    decode, seen = looking.decode, []

    def decode_and_remember(data):
        # The one before this may still be held, until this one takes its place.
        assert sum(image() is not None for image in seen) <= 1
        seen.append(weakref.ref(image := decode(data)))
        return image

    monkeypatch.setattr(looking, "decode", decode_and_remember)
    assert look(_photos(tmp_path, [(600, 600)] * 5)).images == len(seen) == 5
