import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.training.drawings import draw_folder
from training.automatic.looks import look
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
