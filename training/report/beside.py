"""What `fit` has put beside a checkpoint, as far as it is there and can be read."""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue, TypeAdapter

from model_store.errors import first_line
from model_store.files import read_data
from training.data.split import SPLIT_FILE, Split
from training.history import History, from_csv
from training.initialise import told_by_recipe
from training.initialise.initialise import StartReport
from training.initialise.matching import Match
from training.pictures.album import PAIRS, RELIABILITY, ROC, SCORES
from training.pictures.curves import CURVES
from training.publishing.calibrated import is_calibrated_since
from training.publishing.card import CARD_FILE
from training.publishing.skipped import SKIPPED_FILE
from training.publishing.warned import WARNINGS_FILE, Warned, read_warned
from training.run.folder import HISTORY_FILE, START_FILE

_PICTURES = (CURVES, ROC, SCORES, RELIABILITY, PAIRS)
_Read = TypeVar("_Read")
_LARGEST = 3.4e38
"""All that a training measures is float32; of what is larger, no curve can be drawn."""

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Beside:
    """The files beside a checkpoint.

    Attributes:
        card: Markdown; empty where there is none.
        split: Which classes served what; None where it is not known.
        start: What weights it began with, a line each.
        history: Of the training; empty if it took no step, None where it is not known.
        pictures: PNG by file name.
        skipped: Images that could not be used: (key, reason).
        warned: What `fit` and `calibrate` warned of.
        calibrated_since: Whether `calibrate` made the calibration, and not `fit`.
        problems: Files that are there and cannot be read, and why.
    """

    card: str = ""
    split: Split | None = None
    start: tuple[str, ...] = ()
    history: History | None = None
    pictures: tuple[tuple[str, bytes], ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    warned: Warned = field(default_factory=Warned)
    calibrated_since: bool = False
    problems: tuple[str, ...] = ()

    def picture(self, name: str) -> bytes | None:
        """The picture of a name, if it is there."""
        return dict(self.pictures).get(name)


def read_beside(folder: Path, recipe: Mapping[str, JsonValue]) -> Beside:
    """Reads what lies in a checkpoint's folder; what cannot be read is among `problems`.

    Args:
        folder: The checkpoint's.
        recipe: Of its manifest.
    """
    reader = _Reader(folder)
    split = reader.read(SPLIT_FILE, Split.from_json)
    return Beside(
        card=reader.read(CARD_FILE, bytes.decode) or "",
        split=None if split is None else told_by_recipe(split, recipe),
        start=tuple(reader.read(START_FILE, _start) or ()),
        history=reader.read(HISTORY_FILE, _history),
        pictures=tuple(
            (name, data) for name in _PICTURES if (data := reader.read(name, _png)) is not None
        ),
        skipped=reader.read(SKIPPED_FILE, _skipped) or (),
        warned=reader.tried(WARNINGS_FILE, lambda: read_warned(folder)) or Warned(),
        calibrated_since=is_calibrated_since(folder),
        problems=tuple(reader.problems),
    )


class _Reader:
    """Reads files of a folder and keeps what went wrong."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.problems: list[str] = []

    def read(self, name: str, parse: Callable[[bytes], _Read]) -> _Read | None:
        """What a file holds; None if it is not there or cannot be read."""
        return self.tried(name, lambda: parse(read_data(self._folder / name)))

    def tried(self, name: str, read: Callable[[], _Read]) -> _Read | None:
        """As `read`, of a file that is read otherwise."""
        try:
            return read()
        except FileNotFoundError:
            return None
        except RecursionError:
            self.problems.append(f"{name} beside the checkpoint cannot be read: nested too deep")
            return None
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            reason = first_line(error)
            self.problems.append(f"{name} beside the checkpoint cannot be read: {reason}")
            return None


def _start(content: bytes) -> list[str]:
    found = json.loads(content)
    matches = TypeAdapter(tuple[Match, ...]).validate_python(found["parts"])
    return StartReport(matches, bool(found["both_branches_alike"])).lines()


def _history(content: bytes) -> History:
    rows = from_csv(content)
    for row in rows:
        for name, value in asdict(row).items():
            # One that is not finite is what a training that derailed has measured.
            infinite = isinstance(value, float) and not math.isfinite(value)
            if value is not None and not infinite and abs(value) > _LARGEST:
                raise ValueError(f"{name} is larger than any that a training gives")
    return rows


def _png(content: bytes) -> bytes:
    if not content.startswith(_PNG):
        raise ValueError("it is not a PNG")
    return content


def _skipped(content: bytes) -> tuple[tuple[str, str], ...]:
    rows = csv.DictReader(io.StringIO(content.decode()))
    return tuple((row["image"], row["reason"]) for row in rows)
