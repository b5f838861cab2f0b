"""The Markdown that cards are written in, as HTML: headings, lists, tables, code, paragraphs.

Not more than that. Pictures are left out, because the report shows them elsewhere, and anything
else stays the text it is.
"""

import re
from collections.abc import Callable, Iterator

from training.report.html import Html, bullets, element, joined, listing, paragraph, table

_HEADING = re.compile(r"(#{1,6}) +(.*)")
_PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_BETWEEN_CELLS = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"\|[\s|:-]*-[\s|:-]*\|?")
_FENCE = "```"


def to_html(text: str) -> Html:
    """A card as HTML; its headings stand below those of the report's sections."""
    return joined(_blocks(text.splitlines()))


def inline(text: str) -> Html:
    """One line: what stands between back-quotes is code."""
    parts = _PICTURE.sub("", text).split("`")
    if len(parts) % 2 == 0:
        return joined([text])
    return joined(element("code", part) if n % 2 else part for n, part in enumerate(parts))


def _blocks(lines: list[str]) -> Iterator[Html]:
    place = 0
    while place < len(lines):
        line = lines[place]
        heading = _HEADING.fullmatch(line)
        if line.startswith(_FENCE):
            end = _end(lines, place + 1, lambda text: not text.startswith(_FENCE))
            yield listing(element("code", "\n".join(lines[place + 1 : end])))
            place = end + 1
        elif heading:
            yield element(f"h{min(6, len(heading[1]) + 2)}", inline(heading[2]))
            place += 1
        elif line.startswith("- "):
            end = _end(lines, place, lambda text: text.startswith("- "))
            yield bullets(inline(entry[2:]) for entry in lines[place:end])
            place = end
        elif line.startswith("|"):
            end = _end(lines, place, lambda text: text.startswith("|"))
            yield from _table(lines[place:end])
            place = end
        else:
            if _PICTURE.sub("", line).strip():
                yield paragraph(inline(line))
            place += 1


def _end(lines: list[str], start: int, belongs: Callable[[str], bool]) -> int:
    """The first line from `start` on that no longer belongs."""
    return next((n for n in range(start, len(lines)) if not belongs(lines[n])), len(lines))


def _table(lines: list[str]) -> Iterator[Html]:
    """A table, or the text that it is where no line of it has cells."""
    rows = [_cells(line.strip()) for line in lines if not _RULE.fullmatch(line.strip())]
    if not rows:
        yield from (paragraph(line) for line in lines)
        return
    columns = max(len(row) for row in rows)
    headings, *cells = [row + [""] * (columns - len(row)) for row in rows]
    yield table(headings, [[inline(cell) for cell in row] for row in cells])


def _cells(line: str) -> list[str]:
    cells = _BETWEEN_CELLS.split(line.removeprefix("|"))
    if not cells[-1]:
        del cells[-1]
    return [cell.strip().replace(r"\|", "|") for cell in cells]
