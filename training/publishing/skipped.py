"""What was found and not used: told by kind, and all of it as a file."""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Sequence

from training.data.sources import Skipped

SKIPPED_FILE = "skipped.csv"
"""The file's name beside a checkpoint."""

_NAMED = 20
_ENDS = re.compile(r"[:;(]|,? over the limit")
_NUMBERS = re.compile(r"\d[\d,.x]*( = [\d,.]+)?")


def told(skipped: Sequence[Skipped]) -> tuple[str, ...]:
    """Lines for a person: how many in all, how many of each kind, and which, 20 of each kind.

    Args:
        skipped: What was not used, once each.
    """
    if not skipped:
        return ()
    kinds: dict[str, list[Skipped]] = defaultdict(list)
    for entry in skipped:
        kinds[_kind(entry.reason)].append(entry)
    lines = [f"{len(skipped)} not used (all are in {SKIPPED_FILE} of the checkpoint):"]
    for kind, entries in sorted(kinds.items(), key=lambda item: -len(item[1])):
        lines.append(f"  {len(entries)} × {kind}")
        lines += [f"    {entry.shown}: {entry.reason}" for entry in entries[:_NAMED]]
        if len(entries) > _NAMED:
            lines.append(f"    … and {len(entries) - _NAMED} more")
    return tuple(lines)


def skipped_csv(skipped: Sequence[Skipped]) -> bytes:
    """The content of `skipped.csv`: a line for each, and why."""
    text = io.StringIO()
    # Of a name that has a carriage return, no reader would take the line unquoted.
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["image", "reason"])
    writer.writerows([entry.key, entry.reason] for entry in skipped)
    return text.getvalue().encode()


def _kind(reason: str) -> str:
    """A reason without what is particular to one file: its first clause, numbers left out."""
    return _NUMBERS.sub("…", _ENDS.split(reason)[0]).strip()
