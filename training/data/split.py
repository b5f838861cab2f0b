"""Which classes train, which validate, which calibrate: fixed by names and a seed, written down.

Always by class, never by image: what a model is judged by, it has never seen. Not so where the data
comes split by image, or the weights that it starts from have seen it: what is said of the figures
then says that.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from training.data.folders import ImageFolder, Indices
from training.errors import DataError
from training.naming import composed

SPLIT_FILE = "split.json"
"""The file's name beside a checkpoint."""

_GROUPS_TO_SPLIT_BY_GROUP = 10
_LEAST_CLASSES = 2

_ClassName = Annotated[str, AfterValidator(composed)]
"""As `ImageClass.name` is: earlier splits have names as their folders had them."""

Share = Annotated[float, Field(ge=0, lt=1)]


class SplitShares(BaseModel):
    """Which share of the classes is kept from training, where the data brings no split.

    Attributes:
        validation: Judges the model.
        calibration: Calibrates it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    validation: Share = 0.15
    calibration: Share = 0.15


class Split(BaseModel):
    """The classes of each purpose, by name.

    Attributes:
        seed: Of the draw.
        unit: What was drawn whole: classes, or groups of them.
        train: Classes that the network learns from.
        validation: Classes that choose and judge the model.
        calibration: Classes that calibrate it.
        train_digest: `ImageFolder.digest()` of the data that `train` is in.
        holdout_digest: Of the data that the others are in; empty if it is the same data.
        crossed: Whether pairs of all classes calibrate, each scored by what was fitted to others
            (`training.crossing`); none is then kept for it.
        start_learnt: Classes that the weights it starts from were trained on before; None where
            that is not known.
        untrained: Whether nothing was fitted to `train`: no step taken, no projection set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    unit: Literal["class", "group"]
    train: tuple[_ClassName, ...]
    validation: tuple[_ClassName, ...]
    calibration: tuple[_ClassName, ...]
    train_digest: str
    holdout_digest: str = ""
    crossed: bool = False
    start_learnt: tuple[_ClassName, ...] | None = ()
    untrained: bool = False

    @property
    def _trained(self) -> tuple[str, ...]:
        return () if self.untrained else self.train

    @property
    def seen(self) -> tuple[str, ...]:
        """Classes that validate or calibrate although classes of their names train.

        Only data that comes split by image has such; figures on them are for known classes.
        """
        trained = set(self._trained)
        return tuple(name for name in (*self.validation, *self.calibration) if name in trained)

    @property
    def learnt(self) -> tuple[str, ...]:
        """Classes that the network was trained on, in this training or before, as far as known."""
        return tuple(sorted({*self._trained, *(self.start_learnt or ())}))

    @property
    def all_new(self) -> bool:
        """Whether it is known that the network was not trained on classes kept from training."""
        return self.start_learnt is not None and {*self.validation, *self.calibration}.isdisjoint(
            self.learnt
        )

    @property
    def kept_told(self) -> str:
        """What to call the classes kept from training, where figures of them are named."""
        if self.all_new:
            return "classes never trained on"
        if self.seen:
            return f"classes of which {len(self.seen):,} were trained on, by other images"
        if self.start_learnt is None:
            return "classes kept from training, but perhaps not from that of its starting weights"
        known = len({*self.validation, *self.calibration}.intersection(self.start_learnt))
        return f"classes of which {known:,} were trained on by the model it started from"

    @property
    def calibrating(self) -> tuple[str, ...]:
        """Classes that had a part in calibrating the model, if any had."""
        if self.crossed:
            return (*self.train, *self.validation)
        return (*self.validation, *self.calibration) if self.calibration else ()

    def to_json(self) -> bytes:
        """The content of `split.json`."""
        return (self.model_dump_json(indent=2) + "\n").encode()

    @staticmethod
    def from_json(content: bytes) -> "Split":
        """Reads `split.json`. Raises pydantic's ValidationError (a ValueError) if it is not one."""
        return Split.model_validate_json(content)


def told_of_start(judging: Collection[str], start_learnt: Collection[str] | None) -> str:
    """What is to be known of figures where the weights started from may have seen their classes.

    Args:
        judging: The classes that judge or calibrate.
        start_learnt: As `Split.start_learnt`.

    Returns:
        A warning; empty where there is nothing to warn of.
    """
    if not judging:
        return ""
    if start_learnt is None:
        return (
            "which classes its starting weights were trained on is not recorded: whether those "
            "that judge and calibrate were among them cannot be known, and figures flatter if so"
        )
    known = len(set(judging).intersection(start_learnt))
    if not known:
        return ""
    return (
        f"{known:,} of the {len(judging):,} classes that judge and calibrate have names that the "
        "model it starts from was trained on: if they are the same, the figures flatter it"
    )


def classes_named(folder: ImageFolder, names: Iterable[str]) -> ImageFolder:
    """The classes of those names.

    Raises:
        DataError: One is not there.
    """
    index = {name: label for label, name in enumerate(folder.class_names)}
    wanted = list(names)
    missing = [name for name in wanted if name not in index]
    if missing:
        raise DataError(
            f"{folder.source} has no class '{missing[0]}'"
            + (f" (and {len(missing) - 1} more)" if len(missing) > 1 else "")
            + ", which the split names; give the data that the split was made from"
        )
    return folder.subset(index[name] for name in wanted)


def split_classes(
    folder: ImageFolder, *, validation: float, calibration: float, seed: int, crossed: bool = False
) -> Split:
    """Draws classes for validation and calibration; the rest trains.

    By whole groups where there are ten or more, else by class. Depends on the names and the seed
    alone, not on the order of files or on any library's generator.

    Args:
        folder: All the data.
        validation: Share of the classes (or groups), in [0, 1); 0 for none, else at least two
            classes.
        calibration: Likewise.
        seed: Another seed draws others.
        crossed: As `Split.crossed`: no class is kept for calibration, whatever its share.

    Raises:
        DataError: Too few classes; the message says how many are needed.
    """
    calibration = 0 if crossed else calibration
    units = _units(folder)
    least = _LEAST_CLASSES * (1 + (validation > 0) + (calibration > 0))
    if len(folder.classes) < least:
        shares = {"validation": validation, "calibration": calibration}
        spared = [name for name, share in shares.items() if share]
        if crossed and len(folder.classes) <= _LEAST_CLASSES:
            # With none to validate, they would still be too few to be left out in turn.
            spared = [*shares]
        without = " ".join(f"--set split.{name}=0" for name in spared)
        purposes = {"validation": "validate", "calibration": "calibrate"}
        *first, last = ("train", *(purposes[name] for name, share in shares.items() if share))
        raise DataError(
            f"{folder.source} has {len(folder.classes)} class(es), and training needs at least "
            f"{least}"
            + (f": {_LEAST_CLASSES} each to {', '.join(first)} and {last}" if first else "")
            + ". Add classes"
            + (
                f", or do without ({without})"
                if without and len(folder.classes) >= _LEAST_CLASSES
                else ""
            )
        )
    order = _shuffled(units, seed)
    calibrating = _take(order, units, calibration)
    validating = _take(order, units, validation)
    training = [name for unit in order for name in units[unit]]
    if len(training) < _LEAST_CLASSES:
        raise DataError(
            f"{folder.source}: after validation ({len(validating)} classes) and calibration "
            f"({len(calibrating)}), {len(training)} class(es) would be left to train on; add "
            "classes, or ask for smaller shares (--set split.validation=…, split.calibration=…)"
        )
    return Split(
        seed=seed,
        unit="group" if len(units) < len(folder.classes) else "class",
        train=tuple(sorted(training)),
        validation=tuple(sorted(validating)),
        calibration=tuple(sorted(calibrating)),
        train_digest=folder.digest(),
        crossed=crossed,
    )


def split_holdout(folder: ImageFolder, holdout: ImageFolder, *, seed: int) -> Split:
    """All of one folder trains; the classes of another are halved to validate and to calibrate.

    Args:
        folder: What to train on.
        holdout: What was set aside; see `Split.seen` for classes of the same name.
        seed: Of the draw.

    Raises:
        DataError: Fewer than 2 classes to train on, or than 4 set aside.
    """
    for data, least in ((folder, _LEAST_CLASSES), (holdout, 2 * _LEAST_CLASSES)):
        if len(data.classes) < least:
            raise DataError(
                f"{data.source} has {len(data.classes)} class(es), and at least {least} are "
                "needed there; add classes, or give one folder and let it be split"
            )
    units = _units(holdout)
    order = _shuffled(units, seed)
    calibrating = _take(order, units, 0.5)
    validating = [name for unit in order for name in units[unit]]
    return Split(
        seed=seed,
        unit="group" if len(units) < len(holdout.classes) else "class",
        train=tuple(sorted(folder.class_names)),
        validation=tuple(sorted(validating)),
        calibration=tuple(sorted(calibrating)),
        train_digest=folder.digest(),
        holdout_digest=holdout.digest(),
    )


def deal_classes(folder: ImageFolder, parts: int, seed: int) -> list[list[str]]:
    """Deals all classes into parts whose sizes differ by a unit at most.

    By whole groups where there are ten or more, else by class; depends on the names and the seed
    alone.

    Args:
        folder: All the data.
        parts: How many.
        seed: Another seed deals otherwise.

    Returns:
        The names of each part's classes, sorted.
    """
    units = _units(folder)
    order = _shuffled(units, seed)
    return [
        sorted(name for unit in order[part::parts] for name in units[unit]) for part in range(parts)
    ]


def units_of(folder: ImageFolder) -> Indices:
    """int64 (classes,): what each class is drawn along with, numbered from 0."""
    number = {
        name: position for position, unit in enumerate(_units(folder).values()) for name in unit
    }
    return np.array([number[name] for name in folder.class_names], dtype=np.int64)


def _units(folder: ImageFolder) -> dict[str, list[str]]:
    """What is drawn whole, and the classes in it."""
    by_group = len(folder.group_names) >= _GROUPS_TO_SPLIT_BY_GROUP
    units: dict[str, list[str]] = {}
    for entry in folder.classes:
        units.setdefault(entry.group if by_group else entry.name, []).append(entry.name)
    return units


def _shuffled(units: Iterable[str], seed: int) -> list[str]:
    """In the order of a keyed hash: a fair draw that no library version changes."""
    return sorted(
        units, key=lambda name: (hashlib.sha256(f"{seed}\0{name}".encode()).digest(), name)
    )


def _take(order: list[str], units: Mapping[str, list[str]], share: float) -> list[str]:
    """Takes units off the front of the order: the share, and at least two classes."""
    taken: list[str] = []
    wanted = round(share * len(units))
    count = 0
    while share > 0 and order and (count < wanted or len(taken) < _LEAST_CLASSES):
        taken += units[order.pop(0)]
        count += 1
    return taken
