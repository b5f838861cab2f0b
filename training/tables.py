"""Tables of plain text."""

import io
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDTH = 100


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under headings, as text of at most 100 columns.

    Args:
        title: Stands above.
        headings: Of the columns; all empty for none.
        rows: As many cells each as there are headings.
    """
    made = Table(*headings, box=box.SIMPLE_HEAD, show_header=any(headings))
    for row in rows:
        made.add_row(*map(Text, row))
    text = io.StringIO()
    Console(file=text, width=_WIDTH, color_system=None, legacy_windows=False).print(made)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    return "\n".join([title, *(line for line in lines if line)])
