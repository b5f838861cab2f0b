"""One batch as a picture: what the network sees, augmentation and all."""

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw

from training.data.batch import Batch
from training.pictures.sheet import fitted, to_png

_TILE = 96
_GAP = 6
_ROWS = 8
_MOST = 64
_SAME, _DIFFERENT, _NO_PAIR = "#1a9850", "#d73027", "#888888"
_SLOT = "#f0f0f0"


def batch_png(batch: Batch) -> bytes:
    """The first 64 images of a batch, as PNG.

    Pairs stand side by side, framed green where they are of one class and red where they are of
    two; images without pairs stand one by one, those of a class next to one another. All keep the
    shape that they have as input.

    Args:
        batch: As the network gets it.
    """
    images = _uint8(batch.images)
    if batch.pairs is None or batch.same is None:
        order = torch.argsort(batch.labels, stable=True)[:_MOST].tolist()
        cells = [((at,), _NO_PAIR) for at in order]
    else:
        chosen = np.unique(
            np.linspace(0, len(batch.pairs) - 1, _MOST // 2).astype(np.int64)
        ).tolist()
        cells = [
            (
                tuple(batch.pairs[at].tolist()),
                _SAME if bool(batch.same[at] > 0) else _DIFFERENT,
            )
            for at in chosen
        ]
    wide = max(len(rows) for rows, _ in cells)
    columns = max(1, -(-len(cells) // _ROWS))
    lines = -(-len(cells) // columns)
    cell = (wide * _TILE + 2 * _GAP, _TILE + 2 * _GAP)
    sheet = Image.new("RGB", (columns * cell[0], lines * cell[1]), "white")
    draw = ImageDraw.Draw(sheet)
    for position, (rows, colour) in enumerate(cells):
        left, top = position % columns * cell[0], position // columns * cell[1]
        inside = (left + 1, top + 1, left + cell[0] - 2, top + cell[1] - 2)
        draw.rectangle(inside, outline=colour, width=3)
        for place, row in enumerate(rows):
            tile = Image.fromarray(
                images[row].squeeze(-1) if images.shape[-1] == 1 else images[row]
            )
            tile = fitted(tile, _TILE, _TILE)
            x, y = left + _GAP + place * _TILE, top + _GAP
            draw.rectangle((x, y, x + _TILE - 1, y + _TILE - 1), _SLOT)
            sheet.paste(tile, (x + (_TILE - tile.width) // 2, y + (_TILE - tile.height) // 2))
    return to_png(sheet)


def _uint8(images: torch.Tensor) -> npt.NDArray[np.uint8]:
    values: npt.NDArray[np.uint8] = (
        images.detach().float().round().clamp(0, 255).to("cpu", torch.uint8).numpy()
    )
    return values
