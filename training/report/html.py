"""A tiny builder of HTML in which every text is escaped: names of classes and files are anybody's.

What is a plain `str` is text; only `Html`, which this module makes, is markup.
"""

import base64
import html
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PIL import Image

_VOID = frozenset({"br", "img", "meta"})
_LARGE = 400_000
# Control characters, surrogates, and directions that a name could set for the text around it.
_NEVER = re.compile(r"[\x00-\x08\x0b-\x1f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Html:
    """Markup.

    Attributes:
        text: Well-formed HTML.
    """

    text: str


Child = str | Html


def escaped(text: str) -> str:
    """Text as HTML that shows it; characters that no page may hold become `�`."""
    return html.escape(_NEVER.sub("�", text), quote=True)


def element(tag: str, *children: Child, **attributes: str | None) -> Html:
    """An element; `class_` stands for `class`, `aria_label` for `aria-label`.

    Args:
        tag: Its name.
        children: Text, which is escaped, or markup.
        attributes: Those that are None are left out.
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{joined(children).text}</{tag}>")


def joined(children: Iterable[Child]) -> Html:
    """Text and markup one after the other."""
    return Html(
        "".join(child.text if isinstance(child, Html) else escaped(child) for child in children)
    )


def paragraph(*children: Child, class_: str | None = None) -> Html:
    """A paragraph."""
    return element("p", *children, class_=class_)


def bullets(entries: Iterable[Child], class_: str | None = None) -> Html:
    """A list."""
    return element("ul", *(element("li", entry) for entry in entries), class_=class_)


def table(headings: Sequence[str], rows: Iterable[Sequence[Child]], *, wide: int = 1) -> Html:
    """A table; columns after the first `wide` are numbers and stand right.

    Args:
        headings: Of the columns; all empty for none.
        rows: As many cells each.
        wide: Columns of text.
    """

    def cells(tag: str, row: Sequence[Child]) -> list[Html]:
        return [
            # A cell without a text is no heading of anything.
            element(tag if cell else "td", cell, class_=None if column < wide else "number")
            for column, cell in enumerate(row)
        ]

    head = [element("thead", element("tr", *cells("th", headings)))] if any(headings) else []
    body = element("tbody", *(element("tr", *cells("td", row)) for row in rows))
    return element("div", element("table", *head, body), class_="scroll")


def listing(text: Child) -> Html:
    """Lines as they are, which also a keyboard can scroll."""
    return element("pre", text, tabindex="0")


def details(summary: str, *children: Child) -> Html:
    """What is seen only after a click on its summary."""
    return element("details", element("summary", summary), *children)


def picture(data: bytes, alternative: str) -> Html:
    """A PNG or JPEG inside the page.

    Args:
        data: The file's bytes.
        alternative: What it shows, for those who cannot see it.
    """
    return element("figure", element("img", src=data_address(data), alt=alternative))


def data_address(data: bytes) -> str:
    """A PNG or JPEG as an address that holds it."""
    kind = "jpeg" if data.startswith(b"\xff\xd8") else "png"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def compact(image: Image.Image) -> bytes:
    """An image as a PNG, or as a JPEG where that would be large, as photos are.

    Args:
        image: Mode RGB.
    """
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    if file.tell() > _LARGE:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=88, subsampling=0)
    return file.getvalue()
