"""What evaluation and calibration work on: a model, and classes of images embedded by it."""

import argparse
import functools
from pathlib import Path

import torch

from model_store.checkpoint import Checkpoint
from model_store.files import read_data
from model_store.network import Side
from model_store.store import ModelStore
from training.commands.common import (
    add_device,
    add_store,
    chosen_device,
    chosen_store,
    tell_skipped,
    whole_number,
)
from training.data.folders import ImageFolder
from training.data.other_files import told_other_files
from training.data.parts import open_sources
from training.data.split import SPLIT_FILE, Split, classes_named
from training.errors import DataError
from training.evaluation.embedding import EmbeddedFolder, Sides, embed_told, sides_differ
from training.initialise import told_by_recipe
from training.naming import called, one_line
from training.progress import Reporter
from training.publishing.calibrated import read_calibrated

CHOICES = ("all", "train", "new", "validation", "calibration")
"""What `--classes` takes."""

CROSSED = "crossed"
"""All classes, their pairs scored by what was fitted to others: what `report` takes by itself."""


def add_material(parser: argparse.ArgumentParser) -> None:
    """Adds the options that `Bench` reads."""
    parser.add_argument("name", metavar="NAME", help="the model, or an alias of it")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder or zip of images: class/image or group/class/image; a folder inside a zip "
        "is written data.zip/inner/folder; of train/ and val/ the latter is taken",
    )
    parser.add_argument(
        "--gallery",
        type=Path,
        metavar="DIR",
        help="images that those of --data are compared with, classes matched by name (default: "
        "the images of --data among themselves)",
    )
    parser.add_argument(
        "--classes",
        choices=CHOICES,
        default="all",
        help="which classes of --data, by the split that the model was trained with; in other "
        "data, those of the same names; new: all that it was not trained on (default: all)",
    )
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, help="seed of samples and intervals (default: 0)"
    )
    add_store(parser)
    add_device(parser)
    parser.set_defaults(right=None)


class Bench:
    """A model and the options it is to be worked on with.

    Args:
        options: As `add_material` parsed them. `right` may name images that are on the right of
            pairs, as `fit --right` takes them: then all classes are of two sides.

    Raises:
        TwinlensError: The model cannot be loaded, or the device is not there.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.reporter = Reporter()
        self.store: ModelStore = chosen_store(options)
        self.device: torch.device = chosen_device(options)
        self.name: str = self.store.resolve(options.name)
        self.checkpoint: Checkpoint = self.store.load(self.name)
        self.network = self.checkpoint.network.to(self.device)
        self._options = options

    def sides(self, folder: ImageFolder | None = None) -> Sides:
        """Opens and embeds the images, and tells what could not be used.

        Args:
            folder: Those of `folder()` that are wanted; all of them if not given.

        Raises:
            DataError: They cannot be used.
        """
        folder = self.folder() if folder is None else folder
        left = self._embed(folder.on(Side.LEFT).without_empty(), Side.LEFT, "embedding")
        if folder.two_sided:
            return Sides(left, self._embed(folder.on(Side.RIGHT), Side.RIGHT, "right side"))
        gallery = None
        if self._options.gallery is not None:
            gallery = self._embed(self._opened(self._options.gallery), Side.RIGHT, "gallery")
        right = gallery
        if gallery is None and sides_differ(self.network, folder):
            right = self._embed(left.folder, Side.RIGHT, "right side")
        return Sides(left, right, gallery)

    def folder(self) -> ImageFolder:
        """The classes of `--data` that are asked for; says when the model has seen them before.

        Raises:
            DataError: They cannot be told, or are not there.
        """
        folder = self._asked_for()
        # Where pairs are crossed, each is scored by what was fitted to others.
        if self._options.classes != CROSSED and (told := self.told_trained(folder)):
            advice = " (--classes new takes the others)" if self._options.classes == "all" else ""
            self.reporter.say(f"note: {told}; if they are the same, the figures flatter it{advice}")
        return folder

    def trained_on(self, folder: ImageFolder) -> int | None:
        """How many classes of a folder have names that the model was trained on, in whatever data.

        Returns:
            None where nothing is recorded of what it was trained on.

        Raises:
            DataError: What is recorded of it cannot be read.
        """
        split = self.split
        return None if split is None else len(set(split.learnt).intersection(folder.class_names))

    def told_trained(self, folder: ImageFolder) -> str:
        """The same in words; empty if it is none, as far as known."""
        seen = self.trained_on(folder)
        if not seen:
            return ""
        total = len(folder.classes)
        return f"{seen:,} of {total:,} classes have names that the model was trained on"

    def described(self, folder: ImageFolder) -> str:
        """A folder in words, for whoever later reads what was made of it.

        Raises:
            DataError: As `trained_on`.
        """
        told = self.told_trained(folder)
        data = f"{folder.name}, {self._options.classes} classes: {folder.described()}"
        return f"{data}; {told}" if told else data

    def _asked_for(self) -> ImageFolder:
        folder = self._opened(self._options.data, self._options.right)
        split = self.split
        choice = self._options.classes
        if choice in (CROSSED, "all"):
            return folder
        if split is None:
            raise DataError(
                f"{self.checkpoint.path} has no {SPLIT_FILE}, so which classes are for {choice} "
                "cannot be told; leave --classes out"
            )
        if choice == "new":
            others = set(folder.class_names) - set(split.learnt)
            if not others:
                raise DataError(
                    f"all classes of {folder.source} have names that the model was trained on; "
                    "give other data, or leave --classes out"
                )
            return classes_named(folder, sorted(others))
        names = {"train": split.train, "validation": split.validation}.get(
            choice, split.calibration
        )
        if not names:
            raise DataError(f"the model's split has no classes for {choice}; choose others")
        trains = choice == "train"
        wanted = split.train_digest if trains else split.holdout_digest or split.train_digest
        if folder.digest() == wanted:
            return classes_named(folder, names)
        there = set(folder.class_names) & set(names)
        if not there:
            raise DataError(
                f"{folder.source} has none of the {len(names)} classes that the model's split has "
                f"for {choice}; leave --classes out, or give the data that it was trained with"
            )
        self.reporter.say(
            f"note: {folder.source} is not the data that the model's split was made from; "
            f"{len(there)} of the {len(names)} classes for {choice} are there by name"
        )
        return classes_named(folder, sorted(there))

    def calibrated_on(self, folder: ImageFolder) -> bool:
        """Whether the model's calibration has seen classes of a folder, by their names.

        Raises:
            DataError: What is recorded of it cannot be read.
        """
        calibration = self.checkpoint.manifest.calibration
        if calibration is None:
            return False
        if calibration.data_digest == folder.digest():
            return True
        names = set(folder.class_names)
        calibrating = read_calibrated(self.checkpoint.path)
        if calibrating is None:
            split = self.split
            calibrating = frozenset(() if split is None else split.calibrating)
        return not names.isdisjoint(calibrating)

    @functools.cached_property
    def split(self) -> Split | None:
        """Which classes served what when the model was trained; None where it does not say.

        Raises:
            DataError: What it says cannot be read.
        """
        path = self.checkpoint.path / SPLIT_FILE
        try:
            split = Split.from_json(read_data(path))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read ({error}); train the model again") from error
        return told_by_recipe(split, self.checkpoint.manifest.provenance.recipe)

    def _opened(self, path: Path, right: Path | None = None) -> ImageFolder:
        sources = open_sources(path, None, right)
        folder = sources.judging
        if sources.holdout is not None:
            self.reporter.say(f"note: of {called(path)}, {folder.source.name}/ is used")
        if sources.left_out:
            left_out = ", ".join(map(one_line, sources.left_out))
            self.reporter.say(f"note: left out of {called(path)}: {left_out}")
        tell_skipped(self.reporter, folder.source, folder.skipped)
        others = told_other_files(folder.other_files)
        if others:
            self.reporter.say(f"{folder.source}: not used: {others}")
        return folder

    def _embed(self, folder: ImageFolder, side: Side, title: str) -> EmbeddedFolder:
        embedded = embed_told(
            self.network, folder, title, device=self.device, reporter=self.reporter, side=side
        )
        tell_skipped(self.reporter, folder.source, embedded.skipped)
        return embedded
