"""The picture sheet: some images of some classes, chosen by a seed."""

import numpy as np
from PIL import Image

from training.data.folders import ImageFolder, Item
from training.pictures.examples import load_image
from training.pictures.sheet import Cell, Section, Tile, draw_sheet

CLASSES, IMAGES = 8, 6
_ACROSS = 2
_COLUMN = 424
_GAP = 10
_HIGHEST = 96


def sample_sheet(title: str, subtitle: str, folder: ImageFolder, *, seed: int = 0) -> Image.Image:
    """Draws up to `IMAGES` images of each of up to `CLASSES` classes.

    Args:
        title: What the images are for.
        subtitle: Where they come from.
        folder: The images.
        seed: Of the choice.
    """
    generator = np.random.default_rng(seed)
    count = min(CLASSES, len(folder.classes))
    chosen = np.sort(generator.choice(len(folder.classes), count, replace=False))
    sizes = np.bincount(folder.labels, minlength=len(folder.classes))
    columns = min(IMAGES, int(sizes[chosen].max()))
    cells = []
    for label in chosen.tolist():
        rows = np.flatnonzero(folder.labels == label)
        shown = np.sort(generator.choice(rows, min(columns, len(rows)), replace=False))
        tiles = [_tile(folder, folder.items[row]) for row in shown.tolist()]
        # As many tiles in every cell, so that all are of one size.
        tiles += [Tile(_nothing, ())] * (columns - len(tiles))
        cells.append(Cell(f"{folder.classes[label].name} · {len(rows):,}", tuple(tiles)))
    section = Section("", tuple(cells), across=_ACROSS)
    # As high as wide, so that square images fill their place.
    height = min(_HIGHEST, (_COLUMN - (columns - 1) * _GAP) // columns)
    return draw_sheet(title, subtitle, (section,), tile_height=height)


def _tile(folder: ImageFolder, item: Item) -> Tile:
    return Tile(lambda: load_image(folder, item), ())


def _nothing() -> Image.Image:
    return Image.new("RGB", (1, 1), (240, 240, 240))
