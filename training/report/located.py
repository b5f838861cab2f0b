"""The images of each purpose, where they can be had: for looking at, not for measuring."""

import shlex
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from training.data.folders import ImageFolder
from training.data.parts import check_same_data, make_parts, open_sources
from training.data.split import Split, classes_named
from training.errors import DataError, TrainingError

TRAIN, VALIDATION, CALIBRATION = "train", "validation", "calibration"


@dataclass(frozen=True)
class Part:
    """Images of one purpose.

    Attributes:
        title: The purpose, in words.
        folder: The images.
    """

    title: str
    folder: ImageFolder


@dataclass(frozen=True)
class Located:
    """What was found of the data of a split.

    Attributes:
        parts: By purpose; only those found.
        note: Why others are not there; empty where all are, or where there is no split.
    """

    parts: tuple[Part, ...] = ()
    note: str = ""


def locate(
    split: Split | None, command: str, data: Path | None, right: Path | None = None
) -> Located:
    """Looks for the images that a split speaks of, in the data given and where `fit` had them.

    They are taken only where their digest is that of the split: images of the same names may
    not be those that trained.

    Args:
        split: The model's; None finds nothing.
        command: What made the model, as its manifest keeps it.
        data: What the user gave.
        right: The right side's images that were given with it.

    Raises:
        DataError: `data` or `right` cannot be opened.
    """
    if split is None:
        return Located()
    found = dict(_recorded(split, command))
    if data is not None:
        found |= _given(split, data, right)
    wanted = {
        TRAIN: split.train,
        VALIDATION: split.validation,
        CALIBRATION: split.calibration,
    }
    missing = [purpose for purpose, names in wanted.items() if names and purpose not in found]
    note = ""
    if missing:
        note = (
            f"Not shown: images of the classes of {_listed(missing)}. They are neither in the "
            "data given nor where they were when the model was trained, or are no longer the same."
        )
    parts = [Part(f"{purpose} classes", found[purpose]) for purpose in wanted if purpose in found]
    return Located(tuple(parts), note)


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _recorded(split: Split, command: str) -> dict[str, ImageFolder]:
    """All parts, from where the recorded command had the data, if that is still there."""
    places = places_in(command)
    data = places.get("--data")
    try:
        # It may lie in a folder that this user may not enter, of which not even that can be asked.
        if data is None or not all(place.exists() for place in places.values()):
            return {}
        sources = open_sources(data, places.get("--holdout"), places.get("--right"))
        check_same_data(sources, split)
        parts = make_parts(sources, split)
    except (DataError, TrainingError, OSError):
        # Something else lies there by now; the note says that the images were not found.
        return {}
    folders = {TRAIN: parts.train, VALIDATION: parts.validation, CALIBRATION: parts.calibration}
    return {purpose: folder for purpose, folder in folders.items() if folder is not None}


def places_in(command: str) -> dict[str, Path]:
    """Where `fit` was told that data lies, by the option that told it."""
    try:
        words = shlex.split(command)
    except ValueError:
        return {}
    places = {}
    for word, next_word in pairwise([*words, ""]):
        option, joined, value = word.partition("=")
        if option in ("--data", "--holdout", "--right"):
            places[option] = Path(value if joined else next_word)
    return places


def _given(split: Split, data: Path, right: Path | None) -> dict[str, ImageFolder]:
    """The parts that the data given hold."""
    sources = open_sources(data, None, right)
    found = {}
    learnt, others = sources.train, sources.judging
    if learnt.digest() == split.train_digest:
        found[TRAIN] = classes_named(learnt, split.train)
    if others.digest() == (split.holdout_digest or split.train_digest):
        for purpose, names in (
            (VALIDATION, split.validation),
            (CALIBRATION, split.calibration),
        ):
            if names:
                found[purpose] = classes_named(others, names)
    return found
