"""Checkpoints whose `fit` left no `warnings.json`: what only the prose of their card tells.

The one place that reads prose, and for these alone. What it looks for are words of earlier
releases, which stay as they are, whatever cards say today.
"""

import re
from pathlib import Path

from model_store.files import read_data

_HEADING = re.compile(r"#{1,6} +(.*)")
_FENCE = "```"
_NOTE = "Note: "
_CALIBRATED_ANEW = "Calibrated anew since: what this card"
_OF_TYPICALITY = "where the model's own kind ends"


def warned_on_card(folder: Path) -> dict[str, list[str]]:
    """What `warnings.json` would hold; a calibration's warnings only if the card is of that one."""
    card = _card(folder)
    notes = [
        said.removeprefix(_NOTE)
        for said in _bullets_under(card, "Calibration")
        if said.startswith(_NOTE)
    ]
    replaced = _CALIBRATED_ANEW in card
    return {
        "training": _bullets_under(card, "Warnings"),
        "calibration": [said for said in notes if not (replaced or _OF_TYPICALITY in said)],
        "typicality": [said for said in notes if _OF_TYPICALITY in said],
    }


def card_tells_of_calibration(folder: Path) -> bool:
    """Whether the card says that the model was calibrated since `fit`."""
    return _CALIBRATED_ANEW in _card(folder)


def _card(folder: Path) -> str:
    try:
        return read_data(folder / "card.md").decode(errors="replace")
    except OSError:
        return ""


def _bullets_under(text: str, heading: str) -> list[str]:
    """The points of the list below a heading, as they are written; none without such a heading."""
    found: list[str] = []
    inside = fenced = False
    for line in text.splitlines():
        match = _HEADING.fullmatch(line)
        if line.startswith(_FENCE):
            fenced = not fenced
        elif fenced:
            continue
        elif match:
            inside = match[1].strip() == heading
        elif inside and line.startswith("- "):
            found.append(line[2:])
    return found
