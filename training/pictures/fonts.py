"""Fonts for names in any writing: one that comes with matplotlib, and others that are installed."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from matplotlib.font_manager import (
    FontEntry,
    FontProperties,
    findfont,
    findSystemFonts,
    fontManager,
    weight_dict,
)
from matplotlib.ft2font import FT2Font
from PIL import ImageDraw, ImageFont

# Comes with matplotlib, and has the letters of most alphabets; none of Chinese, Japanese, Korean.
_FIRST = "DejaVu Sans"
_FURTHER = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR"),
    *("Noto Sans SC", "Noto Sans JP", "Noto Sans KR", "Source Han Sans SC"),
    *("WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback"),
    *("PingFang SC", "Hiragino Sans GB", "Hiragino Sans", "Apple SD Gothic Neo"),
    *("Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Nirmala UI", "Leelawadee UI"),
    *("Noto Sans", "Noto Sans Thai", "Noto Sans Devanagari", "Noto Emoji", "Symbola"),
    *("Segoe UI Emoji", "Arial Unicode MS", "Unifont"),
)
_UNKNOWN = "□"


@dataclass(frozen=True)
class Face:
    """A font that is installed.

    Attributes:
        family: Its name, as matplotlib takes it.
        path: Its file.
        index: Which of the file's fonts it is.
        letters: The code points that it has.
    """

    family: str
    path: str
    index: int
    letters: frozenset[int]


def faces(text: str, *, bold: bool = False) -> tuple[Face, ...]:
    """The fonts to draw a text with: for each letter, the first that has it.

    Installed fonts are looked at only where the first one lacks a letter.
    """
    first = _first(bold=bold)
    chosen, missing = [first], _letters(text) - first.letters
    if missing:
        for face in _installed(bold=bold):
            if face.letters & missing:
                chosen.append(face)
                missing -= face.letters
    return tuple(chosen)


def drawable(text: str) -> str:
    """The text with a box in place of each letter that no font here has.

    Matplotlib draws the same, but warns of every letter.
    """
    known = frozenset[int]().union(*(face.letters for face in faces(text)))
    return "".join(letter if ord(letter) in known else _UNKNOWN for letter in text)


class Lettering:
    """Writes on Pillow's images, which know no fonts but one at a time.

    Args:
        size: Of the letters, in pixels.
        bold: Whether they are.
    """

    def __init__(self, size: int, *, bold: bool = False) -> None:
        self._size = size
        self._bold = bold

    def width(self, text: str) -> float:
        """How wide it is, in pixels."""
        return sum(font.getlength(run) for run, font in self._runs(text))

    def write(
        self, draw: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, colour: tuple[int, ...]
    ) -> None:
        """Writes a text on one line, its left upper corner at a place of the image."""
        first = _font(faces("", bold=self._bold)[0], self._size)
        left, baseline = float(corner[0]), corner[1] + first.getmetrics()[0]
        for run, font in self._runs(text):
            draw.text((left, baseline), run, colour, font, anchor="ls")
            left += font.getlength(run)

    def _runs(self, text: str) -> Iterator[tuple[str, ImageFont.FreeTypeFont]]:
        """The text in pieces of one font each."""
        usable = faces(text, bold=self._bold)

        def of(letter: str) -> Face:
            return next((face for face in usable if ord(letter) in face.letters), usable[0])

        for face, run in groupby(text, of):
            yield "".join(run), _font(face, self._size)


def _letters(text: str) -> frozenset[int]:
    return frozenset(ord(letter) for letter in text if not letter.isspace())


@cache
def _installed(*, bold: bool) -> tuple[Face, ...]:
    _look_again()
    found = []
    for family in _FURTHER:
        entries = [each for each in fontManager.ttflist if each.name == family]
        if entries:
            # Not `findfont`, which warns where a font is there in one weight only.
            nearest = min(entries, key=lambda each: abs(_weight(each) - _weight_of(bold=bold)))
            with contextlib.suppress(OSError, RuntimeError):
                found.append(_read(family, nearest.fname, getattr(nearest, "index", 0)))
    return tuple(found)


@cache
def _look_again() -> None:
    """Shows matplotlib fonts that were installed after it had made its list, which it keeps."""
    known = {entry.fname for entry in fontManager.ttflist}
    for path in findSystemFonts():
        if path not in known:
            # Of bitmaps, damaged, or of a kind that it does not read.
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                fontManager.addfont(path)


@cache
def _first(*, bold: bool) -> Face:
    path = findfont(FontProperties(family=_FIRST, weight=_weight_of(bold=bold)))
    return _read(_FIRST, str(path), 0)


def _read(family: str, path: str, index: int) -> Face:
    # Older matplotlib knows the first font of a file alone, and takes no index.
    font = FT2Font(path, face_index=index) if index else FT2Font(path)
    return Face(family, path, index, frozenset(font.get_charmap()))


def _weight_of(*, bold: bool) -> int:
    return weight_dict["bold" if bold else "normal"]


def _weight(entry: FontEntry) -> int:
    return weight_dict[entry.weight] if isinstance(entry.weight, str) else entry.weight


@cache
def _font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(face.path, size, index=face.index)
