"""Names: a few of many, and one spelling of each."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What begins a line, or tells a terminal what to do."""

NAMED = 3
"""How many are named where there are more."""


def named(names: Sequence[str], count: int | None = None) -> str:
    """The first few names, and how many more there are.

    Args:
        names: All of them, or the first; each becomes `one_line`.
        count: How many there are, if `names` are only the first.
    """
    total = len(names) if count is None else count
    rest = f" and {total - NAMED:,} more" if total > NAMED else ""
    return f"{', '.join(map(one_line, names[:NAMED]))}{rest}"


def one_line(text: str) -> str:
    """A text with its control characters as escapes, so that a name ends no line it stands in."""
    return _BREAKS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def lines_joined(text: str) -> str:
    """A text of several lines in one, each of them as `one_line` has it."""
    return " ".join(one_line(line.strip()) for line in text.split("\n"))


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC).

    macOS and the archives it packs decompose names (NFD): what anyone would call the same name is
    then spelt by other characters.
    """
    return unicodedata.normalize("NFC", name)


def called(path: Path) -> str:
    """What to call a folder or a file, by a path that may be `.` or end in `..`."""
    return (path if path.name not in ("", "..") else path.resolve()).name or str(path)
