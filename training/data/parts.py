"""From data paths to the classes that train, validate and calibrate."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from training.data.folders import ImageFolder
from training.data.opening import open_data
from training.data.other_files import OtherFiles, told_other_files
from training.data.sides import join_sides
from training.data.sources import Skipped
from training.data.split import Split, SplitShares, classes_named, split_classes, split_holdout
from training.errors import DataError, TrainingError
from training.naming import called, named, one_line

_LEAST_TO_TRAIN_ON = 2


@dataclass(frozen=True)
class Sources:
    """The data a user named.

    Attributes:
        train: What classes to train on are taken from.
        holdout: What the others are taken from; None where `train` is to be split.
        name: What to call it all.
        left_out: Top folders that are not used.
        other_files: Files that are not images by their name, of all of them, each counted once.
    """

    train: ImageFolder
    holdout: ImageFolder | None
    name: str
    left_out: tuple[str, ...] = ()
    other_files: OtherFiles = field(default_factory=OtherFiles)

    @property
    def judging(self) -> ImageFolder:
        """What the classes that validate and calibrate are taken from."""
        return self.holdout or self.train

    @property
    def class_names(self) -> frozenset[str]:
        """Of all classes, held out or not."""
        return frozenset({*self.train.class_names, *self.judging.class_names})

    def not_used(self) -> Iterator[str]:
        """Lines that say what is left alone, as far as names tell it without reading a file."""
        if self.left_out:
            yield f"not used: {', '.join(map(one_line, self.left_out))}"
        folders = [folder for folder in (self.train, self.holdout) if folder is not None]
        if others := told_other_files(self.other_files):
            yield f"not used: {others}"
        reasons: dict[str, list[str]] = defaultdict(list)
        for entry in _once(entry for folder in folders for entry in folder.skipped):
            reasons[entry.reason].append(entry.key)
        for reason, keys in reasons.items():
            yield f"not used: {named(keys)}: {reason}"


@dataclass(frozen=True)
class Unusable:
    """Images that cannot be read or decoded, by purpose.

    Of data that was set aside apart from what trains, files may have keys that others have there.

    Attributes:
        train: Among those to learn from.
        validation: Among those that judge.
        calibration: Among those that calibrate.
    """

    train: tuple[Skipped, ...] = ()
    validation: tuple[Skipped, ...] = ()
    calibration: tuple[Skipped, ...] = ()

    @property
    def all(self) -> tuple[Skipped, ...]:
        """Those of any part."""
        return (*self.train, *self.validation, *self.calibration)


@dataclass(frozen=True)
class Parts:
    """Images by purpose.

    Attributes:
        train: Learnt from.
        validation: Judges; None if the split has no such classes.
        calibration: Calibrates; None likewise.
    """

    train: ImageFolder
    validation: ImageFolder | None
    calibration: ImageFolder | None

    @property
    def learnt(self) -> ImageFolder:
        """All classes of the data that the network is made of: those that train or validate."""
        return together(self.train, self.validation) or self.train

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What was found beside the images and not used, once each."""
        folders = [self.train, self.validation, self.calibration]
        return tuple(_once(entry for folder in folders if folder for entry in folder.skipped))

    def without(self, unusable: Unusable) -> "Parts":
        """The same without some images, which are among what was skipped instead.

        Raises:
            DataError: A part has no other images, or fewer than two classes to train on are left.
        """
        if not unusable.all:
            return self
        validation, calibration = self.validation, self.calibration
        return Parts(
            _without(self.train, unusable.train, least=_LEAST_TO_TRAIN_ON),
            None if validation is None else _without(validation, unusable.validation),
            None if calibration is None else _without(calibration, unusable.calibration),
        )


def open_sources(data: Path, holdout: Path | None, right: Path | None = None) -> Sources:
    """Opens the data to train on, and what is held out if that is given or lies beside it.

    Args:
        data: A folder or zip; with `train/` and `val/`, the latter is held out.
        holdout: A folder or zip whose classes validate and calibrate.
        right: A folder or zip of the images that are on the right side, classes matched by name;
            the others are then on the left.

    Raises:
        DataError: As `open_data`; or both bring a validation part.
    """
    opened = open_data(data)
    train = opened.whole or opened.train
    if train is None:
        raise DataError(f"{data} holds nothing to train on; give class/image folders")
    left_out = list(opened.left_out)
    kept = opened.validation
    # Of data that come with train/ and val/, either part has those of both.
    other_files = train.other_files
    if holdout is not None:
        if kept is not None:
            raise DataError(
                f"{data} brings its own validation part; give --data {train.source} to train on "
                "with --holdout, or leave --holdout out"
            )
        apart = open_data(holdout)
        kept = apart.whole or apart.validation
        other_files = other_files + (kept.other_files if kept else OtherFiles())
        left_out += apart.left_out
        if apart.train is not None:
            left_out.append(f"{called(holdout)}/{apart.train.source.name}")
    if right is not None:
        other = open_data(right)
        opposite = other.whole or other.train
        if opposite is None:
            raise DataError(f"{right} holds no images of the right side; give class/image folders")
        other_files = other_files + opposite.other_files
        left_out += [f"{called(right)}/{top}" for top in other.left_out]
        train = join_sides(train, opposite)
        if kept is not None:
            # Of a right side that is parted as well, its own part judges, and nothing trained on.
            kept = join_sides(kept, other.validation or opposite)
        elif other.validation is not None:
            left_out.append(f"{called(right)}/{other.validation.source.name}")
    name = called(data) if right is None else f"{called(data)} and {called(right)}"
    return Sources(train, kept, name, tuple(left_out), other_files)


def make_split(sources: Sources, shares: SplitShares, seed: int, *, crossed: bool = False) -> Split:
    """Decides which classes serve what.

    Args:
        sources: The data.
        shares: Of the classes, where none are held out.
        seed: Of the draw.
        crossed: As `Split.crossed`, where none are held out.

    Raises:
        DataError: There are too few.
    """
    if sources.holdout is not None:
        return split_holdout(sources.train, sources.holdout, seed=seed)
    return split_classes(
        sources.train,
        validation=shares.validation,
        calibration=shares.calibration,
        seed=seed,
        crossed=crossed,
    )


def check_same_data(sources: Sources, split: Split) -> None:
    """Refuses data other than those a split was made from.

    Raises:
        TrainingError: They differ.
    """
    holdout = "" if sources.holdout is None else sources.holdout.digest()
    if (sources.train.digest(), holdout) != (split.train_digest, split.holdout_digest):
        raise TrainingError(
            f"{sources.name} is not the data that the run began with (or --holdout differs); give "
            "the same data, or begin anew with --restart"
        )


def make_parts(sources: Sources, split: Split) -> Parts:
    """The images of each purpose.

    Raises:
        DataError: A class of the split is not there.
    """
    others = sources.judging
    return Parts(
        train=classes_named(sources.train, split.train),
        validation=classes_named(others, split.validation) if split.validation else None,
        calibration=classes_named(others, split.calibration) if split.calibration else None,
    )


def _without(folder: ImageFolder, unusable: Collection[Skipped], *, least: int = 1) -> ImageFolder:
    class_of = {item.key: folder.classes[item.label].name for item in folder.items}
    here = [entry for entry in unusable if entry.key in class_of]
    if len(here) == len(class_of):
        raise DataError(
            f"{folder.source}: not one image can be decoded ({here[0].shown}: {here[0].reason}); "
            "check that the files are images"
        )
    rest = folder.without({entry.key for entry in here})
    if len(rest.classes) < min(least, len(folder.classes)):
        kept = set(rest.class_names)
        lost = {class_of[e.key]: e for e in reversed(here) if class_of[e.key] not in kept}
        first = lost[min(lost)]
        raise DataError(
            f"{folder.source}: not one image can be decoded of {len(lost)} of the "
            f"{len(folder.classes)} classes to train on, and at least {least} are needed: "
            f"{named(sorted(lost))} ({first.shown}: {first.reason}); replace those files, or take "
            "the classes away and add others"
        )
    return replace(rest, skipped=(*rest.skipped, *here))


def together(*parts: ImageFolder | None) -> ImageFolder | None:
    """The classes of several parts of one folder; None if there are no parts.

    Args:
        parts: No two of them with a class in common.
    """
    there = [part for part in parts if part is not None]
    if not there:
        return None
    classes = sorted((entry for part in there for entry in part.classes), key=lambda e: e.name)
    position = {entry.name: label for label, entry in enumerate(classes)}
    items = sorted(
        (
            replace(item, label=position[part.classes[item.label].name])
            for part in there
            for item in part.items
        ),
        key=lambda item: item.key,
    )
    return replace(there[0], classes=tuple(classes), items=tuple(items))


def _once(entries: Iterable[Skipped]) -> Iterable[Skipped]:
    return dict.fromkeys(entries)
