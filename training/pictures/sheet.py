"""Sheets of pictures: cells with a heading and a few images side by side, captions below each."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from training.pictures.fonts import Lettering

WIDTH = 900
"""Columns of every sheet, in pixels."""

_MARGIN = 16
_GAP = 10
_INK = (34, 34, 34)
_SOFT = (110, 110, 110)
_SLOT = (240, 240, 240)
_PAPER = (255, 255, 255)
_HEAD, _TITLE, _HEADING, _LINE = 76, 28, 20, 16
_SHARP = 4

Colour = tuple[int, int, int]
GOOD: Colour = (0, 120, 80)
BAD: Colour = (190, 70, 0)
PLAIN: Colour = _INK


@dataclass(frozen=True)
class Tile:
    """One image of a cell.

    Attributes:
        load: Gives the image, any mode; None if it can no longer be had.
        captions: Lines below it; the first is the darkest. What is too long loses its middle.
    """

    load: Callable[[], Image.Image | None]
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """Images that belong together.

    Attributes:
        heading: Above them.
        tiles: From left to right, the same number in all cells of a section.
        colour: Of the heading.
    """

    heading: str
    tiles: tuple[Tile, ...]
    colour: Colour = PLAIN


@dataclass(frozen=True)
class Section:
    """Cells under a title of their own.

    Attributes:
        title: Above the cells; empty for none.
        cells: In the order of reading.
        across: Cells beside each other.
        note: Takes the cells' place if there are none.
        colour: Of the title.
    """

    title: str
    cells: tuple[Cell, ...]
    across: int = 1
    note: str = "none"
    colour: Colour = PLAIN


def draw_sheet(
    title: str, subtitle: str, sections: Sequence[Section], *, tile_height: int = 150
) -> Image.Image:
    """Draws a sheet, `WIDTH` pixels wide and as high as it must be.

    Args:
        title: At the top.
        subtitle: Below it: the model and the data.
        sections: At least one; they stand beside each other.
        tile_height: Rows of an image at most; images are shrunk or grown to that or to their
            column, whole and in their own shape.
    """
    width = (WIDTH - 2 * _MARGIN - (len(sections) - 1) * 2 * _GAP) // len(sections)
    height = _HEAD + max(_section_height(section, tile_height) for section in sections) + _MARGIN
    canvas = _Canvas(Image.new("RGB", (WIDTH, height), _PAPER))
    canvas.text((_MARGIN, 14), title, 20, WIDTH - 2 * _MARGIN, _INK, bold=True)
    canvas.text((_MARGIN, 43), subtitle, 13, WIDTH - 2 * _MARGIN, _SOFT)
    for place, section in enumerate(sections):
        left = _MARGIN + place * (width + 2 * _GAP)
        _draw_section(canvas, section, left, width, tile_height)
    return canvas.image


def to_png(image: Image.Image, *, at_most: int | None = None) -> bytes:
    """The image as the bytes of a PNG file.

    Args:
        image: Mode RGB.
        at_most: If given, colours and then size are given up until the file has no more bytes.
    """
    data = _encoded(image)
    for colours in (256, 96):
        if at_most is None or len(data) <= at_most:
            return data
        data = _encoded(image.quantize(colours, dither=Image.Dither.NONE))
    while at_most is not None and len(data) > at_most and min(image.size) > 1:
        size = (max(1, image.width * 4 // 5), max(1, image.height * 4 // 5))
        image = image.resize(size, Image.Resampling.LANCZOS)
        data = _encoded(image.quantize(96, dither=Image.Dither.NONE))
    return data


class _Canvas:
    """An image, and text on it that never runs over its place."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.draw = ImageDraw.Draw(image)

    def text(
        self,
        corner: tuple[int, int],
        text: str,
        size: int,
        width: int,
        colour: Colour,
        *,
        bold: bool = False,
    ) -> None:
        lettering = Lettering(size, bold=bold)
        lettering.write(self.draw, corner, shortened(text, width, lettering.width), colour)


def shortened(text: str, width: float, measure: Callable[[str], float]) -> str:
    """The text, or so much of its beginning and end that it fits, with `…` between them.

    Args:
        text: Line breaks in it become spaces.
        width: There is, in the unit of `measure`.
        measure: Gives the width of a text.
    """
    text = " ".join(text.split())
    if measure(text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}"
        if measure(short) <= width:
            return short
    return "…"


def fitted(image: Image.Image, width: int, height: int) -> Image.Image:
    """The image in mode RGB, shrunk or grown in its own shape to just fit into a rectangle."""
    factor = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    # Small images are grown without smoothing once their pixels are to be seen anyway.
    sharp = factor >= _SHARP
    return image.convert("RGB").resize(
        size, Image.Resampling.NEAREST if sharp else Image.Resampling.LANCZOS
    )


def _draw_section(
    canvas: _Canvas, section: Section, left: int, width: int, tile_height: int
) -> None:
    top = _HEAD
    if section.title:
        canvas.text((left, top), section.title, 15, width, section.colour, bold=True)
        top += _TITLE
    if not section.cells:
        canvas.text((left, top), section.note, 13, width, _SOFT)
    column = (width - (section.across - 1) * 2 * _GAP) // section.across
    for place, cell in enumerate(section.cells):
        row, across = divmod(place, section.across)
        corner = (
            left + across * (column + 2 * _GAP),
            top + row * _cell_height(section, tile_height),
        )
        _draw_cell(canvas, cell, corner, column, tile_height)


def _draw_cell(
    canvas: _Canvas, cell: Cell, corner: tuple[int, int], width: int, tile_height: int
) -> None:
    left, top = corner
    if cell.heading:
        canvas.text(corner, cell.heading, 13, width, cell.colour, bold=True)
        top += _HEADING
    slot = (width - (len(cell.tiles) - 1) * _GAP) // len(cell.tiles)
    for place, tile in enumerate(cell.tiles):
        x = left + place * (slot + _GAP)
        canvas.draw.rectangle((x, top, x + slot - 1, top + tile_height - 1), _SLOT)
        image = tile.load()
        if image is None:
            canvas.text((x + 6, top + 6), "cannot be read any more", 12, slot - 12, BAD)
        else:
            shown = fitted(image, slot, tile_height)
            canvas.image.paste(
                shown, (x + (slot - shown.width) // 2, top + (tile_height - shown.height) // 2)
            )
        for line, caption in enumerate(tile.captions):
            y = top + tile_height + 3 + line * _LINE
            canvas.text((x, y), caption, 12, slot, _SOFT if line else _INK)


def _section_height(section: Section, tile_height: int) -> int:
    rows = -(-len(section.cells) // section.across)
    title = _TITLE if section.title else 0
    return title + (rows * _cell_height(section, tile_height) if rows else _LINE)


def _cell_height(section: Section, tile_height: int) -> int:
    lines = max(len(tile.captions) for cell in section.cells for tile in cell.tiles)
    heading = _HEADING if any(cell.heading for cell in section.cells) else 0
    return heading + tile_height + 3 + lines * _LINE + _MARGIN


def _encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()
