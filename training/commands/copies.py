"""`python -m training copies`: from pictures without classes to classes of near-duplicates."""

import argparse
import shlex
from pathlib import Path

from training.commands.common import given, tell_skipped, typed, whole_number
from training.copies.edits import EDITS
from training.copies.making import COPIES, find_pictures, make_copies
from training.data.other_files import told_other_files
from training.progress import Reporter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="pictures, in folders or not; or a zip of them",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="the folder to write: for each picture a folder with itself and its copies",
    )
    parser.add_argument(
        "--copies",
        type=whole_number(1),
        default=COPIES,
        metavar="N",
        help=f"copies of each picture (default: {COPIES})",
    )
    parser.add_argument(
        "--sample",
        type=whole_number(1),
        metavar="N",
        help="take only so many of the pictures, drawn at random",
    )
    parser.add_argument(
        "--edits",
        type=_edits,
        default=tuple(EDITS),
        metavar="EDIT,EDIT,…",
        help=f"what may have been done to a copy (default: {', '.join(EDITS)})",
    )
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, metavar="N", help="of what is drawn (default: 0)"
    )


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit status.

    Raises:
        DataError: The pictures cannot be used, or nothing can be written there.
    """
    reporter = Reporter()
    pictures = find_pictures(options.data, sample=options.sample, seed=options.seed)
    if others := told_other_files(pictures.other_files):
        reporter.say(f"{options.data}: not used: {others}")
    with reporter.task("copying", len(pictures.keys)) as task:
        made = make_copies(
            pictures,
            options.out,
            copies=options.copies,
            edits=options.edits,
            seed=options.seed,
            on_progress=task.update,
        )
    tell_skipped(reporter, options.data, made.skipped)
    reporter.say(
        f"{options.out}: {made.images:,} pictures with {options.copies} copies each, "
        f"{made.size / 1e6:,.1f} MB"
    )
    words = [typed("python"), "-m", "training", "fit", *given("--data", options.out)]
    reporter.say(f"{shlex.join(words)} --name NAME")
    return 0


def _edits(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    unknown = [name for name in names if name not in EDITS]
    if unknown:
        raise argparse.ArgumentTypeError(f"'{unknown[0]}' is no edit; choose of {', '.join(EDITS)}")
    return names
