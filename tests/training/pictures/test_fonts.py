import io
import warnings

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager
from PIL import Image, ImageDraw

from training.pictures import chart, fonts
from training.pictures.fonts import Lettering, drawable, faces

FAMILY = "Twinlens Square"
NAME = "hill 図"


def square_font(path, letter):
    """A font of one letter, a full square as high as the line."""
    pen = TTGlyphPen(None)
    for move, corner in zip(
        (pen.moveTo, pen.lineTo, pen.lineTo, pen.lineTo),
        ((0, 0), (0, 1000), (1000, 1000), (1000, 0)),
        strict=True,
    ):
        move(corner)
    pen.closePath()
    square = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(letter): "square"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": square})
    builder.setupHorizontalMetrics({".notdef": (500, 0), "square": (1000, 0)})
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable({"familyName": FAMILY, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=1000, usWinAscent=1000)
    builder.setupPost()
    builder.save(path)


def forget():
    for kept in (fonts._installed, fonts._look_again):
        kept.cache_clear()


@pytest.fixture
def no_further(monkeypatch):
    monkeypatch.setattr(fonts, "_FURTHER", ())
    forget()
    yield
    forget()


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """A font that was installed after matplotlib had listed those there are."""
    listed = list(fontManager.ttflist)
    square_font(tmp_path / "square.ttf", "図")
    (tmp_path / "damaged.ttf").write_bytes(b"no font")
    found = [str(path) for path in tmp_path.iterdir()]
    monkeypatch.setattr(fonts, "findSystemFonts", lambda: found)
    monkeypatch.setattr(fonts, "_FURTHER", ("Not There", FAMILY))
    forget()
    yield
    fontManager.ttflist[:] = listed
    forget()


def test_a_letter_is_drawn_with_the_first_font_that_has_it(installed):
    assert [face.family for face in faces("hill")] == ["DejaVu Sans"]
    assert [face.family for face in faces(NAME)] == ["DejaVu Sans", FAMILY]
    assert drawable(NAME) == NAME
    image = Image.new("L", (200, 40), 255)
    lettering = Lettering(20)
    assert lettering.width(NAME) == pytest.approx(lettering.width("hill ") + 20)
    lettering.write(ImageDraw.Draw(image), (0, 5), NAME, (0,))
    end = round(lettering.width(NAME))
    pixels = np.asarray(image)
    # The square is black from side to side and stands on the line of the letters before it.
    black = (pixels[:, end - 18 : end - 2] == 0).all(axis=1)
    assert black.sum() == 20
    letters = np.flatnonzero((pixels[:, : end - 22] < 128).any(axis=1))
    assert np.flatnonzero(black)[-1] == letters[-1]
    assert (pixels[:, end + 1 :] == 255).all()


def test_a_letter_that_no_font_has_is_a_box_and_no_warning(no_further):
    assert drawable(NAME) == "hill □"
    assert [face.family for face in faces(NAME)] == ["DejaVu Sans"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, axes = chart.new_chart(3)
        chart.title(axes, "ROC", NAME)
        drawn = chart.to_png(figure)
    Image.open(io.BytesIO(drawn)).load()
    Lettering(12).write(ImageDraw.Draw(Image.new("RGB", (9, 9))), (0, 0), NAME, (0, 0, 0))


def test_a_chart_shows_names_in_any_writing(installed):
    def drawn(subtitle):
        figure, axes = chart.new_chart(3)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            chart.title(axes, "ROC", subtitle)
            return np.asarray(Image.open(io.BytesIO(chart.to_png(figure))).convert("L"))

    # A full square has more ink than the outline of one.
    assert drawn("図図図").sum() < drawn("□□□").sum()
