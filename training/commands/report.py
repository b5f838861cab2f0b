"""`python -m training report`: all that is known of a model, as one HTML file."""

import argparse
import shlex
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from model_store.network import Side
from training.commands.common import add_device, add_store, store_words, whole_number
from training.commands.material import CHOICES, CROSSED, Bench
from training.crossing import cross_pairs
from training.data.folders import ImageFolder
from training.data.parts import open_sources
from training.data.sample import have_pairs, sampled_rows
from training.data.split import Split
from training.errors import DataError, RecipeError
from training.evaluation.embedding import Sides
from training.judging import JUDGED_IMPOSTORS
from training.outputs import check_file, write_file
from training.recipe import Recipe
from training.recipe.files import parse_recipe
from training.report.beside import read_beside
from training.report.content import Content
from training.report.located import locate, places_in
from training.report.measurements import Measured, measure
from training.report.page import TOTAL, render

_MAX_IMAGES = 3_000
_AUTO = "auto"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    parser.add_argument("name", metavar="NAME", help="the model, or an alias of it")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder or zip of images to measure the model on and to show, as evaluate takes it "
        "(default: what fit has kept beside the model is shown)",
    )
    others = parser.add_mutually_exclusive_group()
    others.add_argument(
        "--gallery",
        type=Path,
        metavar="DIR",
        help="images that those of --data are compared with, classes matched by name (default: "
        "the images of --data among themselves)",
    )
    others.add_argument(
        "--right",
        type=Path,
        metavar="DIR",
        help="images that are on the right of a pair, for a model that fit made with --right: of "
        "the same data its classes of validation are found again",
    )
    parser.add_argument(
        "--classes",
        choices=(_AUTO, *CHOICES),
        default=_AUTO,
        help="which classes of --data, by the split that the model was trained with (default: "
        "those of validation where the data has them, else all)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE.html", help="where to write (default: NAME-report.html)"
    )
    parser.add_argument(
        "--max-images",
        type=whole_number(4),
        default=_MAX_IMAGES,
        metavar="N",
        help=f"most images of --data; of more, a sample is taken (default: {_MAX_IMAGES:,}); "
        "where all classes had calibrated the model, the images are those of then",
    )
    parser.add_argument(
        "--max-impostors",
        type=whole_number(1),
        default=JUDGED_IMPOSTORS,
        metavar="N",
        help=f"most impostor pairs; of more, a sample is taken (default: {JUDGED_IMPOSTORS:,})",
    )
    parser.add_argument(
        "--seed",
        type=whole_number(0),
        default=0,
        help="seed of samples, intervals and the map (default: 0)",
    )
    add_store(parser)
    add_device(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit status.

    Raises:
        TwinlensError: The model or the data cannot be used, or the file cannot be written.
    """
    bench = Bench(options)
    out = options.out or Path(f"{bench.name}-report.html")
    check_file(out, "--out")
    for option, given in (("--gallery", options.gallery), ("--right", options.right)):
        if options.data is None and given is not None:
            raise DataError(f"{option} needs --data: images that are compared with it")
    manifest = bench.checkpoint.manifest
    beside = read_beside(bench.checkpoint.path, manifest.provenance.recipe)
    notes: list[str] = []
    measured = None
    if options.data is not None:
        if options.classes == _AUTO:
            trained = manifest.provenance.recipe.get("max_steps") != 0
            options.classes = _chosen(beside.split, options, trained=trained)
        recipe = None
        if options.classes == CROSSED:
            try:
                recipe = parse_recipe(manifest.provenance.recipe, "the recipe in its manifest")
            except RecipeError as error:
                options.classes = "all"
                notes.append(
                    "the model was made in a way that this Twinlens cannot repeat, so that all "
                    "classes are measured by what was fitted to them, too, which flatters it "
                    f"({error}); a newer Twinlens may know it"
                )
        if options.right is None and options.gallery is None:
            notes += _about_one_side(manifest.provenance.command)
        measured = _measured(bench, options, notes, recipe)
    with bench.reporter.task("writing", TOTAL) as task:
        content = Content(
            manifest=manifest,
            beside=beside,
            located=locate(beside.split, manifest.provenance.command, options.data, options.right),
            measured=measured,
            made=datetime.now(UTC),
            seed=options.seed,
            notes=tuple(notes),
        )
        page = render(content, task.update)
    write_file(out, page)
    print(f"{out}: {len(page) / 1e6:.1f} MB, opens in any browser, needs no network")
    if measured is None:
        again = " ".join([content.with_data, *map(shlex.quote, store_words(options.store))])
        print(f"for curves, thresholds and examples on your images: {again}")
    return 0


def _chosen(split: Split | None, options: argparse.Namespace, *, trained: bool) -> str:
    """All, where pairs of all can be scored; else classes never trained on, where there are."""
    if split is None or not (split.validation or split.crossed):
        return "all"
    sources = open_sources(options.data, None, options.right)
    folder = sources.judging
    if split.crossed and not trained:
        found_again = options.gallery is None and folder.digest() == split.train_digest
        return CROSSED if found_again else "all"
    if not split.validation:
        return "all"
    return "validation" if set(folder.class_names).issuperset(split.validation) else "all"


def _about_one_side(command: str) -> list[str]:
    """What is to be known of pairs within --data where the model is for pairs of two sides."""
    right = places_in(command).get("--right")
    if right is None:
        return []
    told = (
        f"the model was made for images of --data against those of --right ({right.name}); here "
        "those of --data are compared among themselves, which may be easier or harder: give "
        "--right too to measure it as it was made"
    )
    return [told]


def _measured(
    bench: Bench,
    options: argparse.Namespace,
    notes: list[str],
    recipe: Recipe | None,
) -> Measured:
    """Measures what was asked for, and adds to the notes; the recipe is one to cross pairs by."""
    crossed, whole = None, bench.folder()
    if recipe is not None:
        crossed = cross_pairs(
            bench.network,
            whole,
            recipe,
            max_impostors=options.max_impostors,
            device=bench.device,
            reporter=bench.reporter,
        )
        folder = crossed.embedded.folder
        which = "all classes, each pair scored by what was fitted to others"
        if len(folder.items) > options.max_images:
            # Fitted to fewer, it would be another model than the one reported on.
            bench.reporter.say(
                f"note: {len(folder.items):,} images are measured, those that fit calibrated by; "
                "--classes all takes a sample, as --max-images says"
            )
    else:
        folder = _sampled(whole, options.max_images, seed=options.seed)
        which = f"{options.classes} classes"
    # Of two sides the left one is what is measured, and the other what it is compared with: of
    # classes, too, that a sample has no left image of. Where all are crossed, images are told as
    # fit tells them.
    shown, there = (
        part if crossed is not None else part.on(Side.LEFT).without_empty()
        for part in (folder, whole)
    )
    data = f"{folder.name}, {which}: {shown.described()}"
    if folder is not whole and crossed is None:
        data += f" (a sample of {there.described()})"
        note = f"{shown.described()} were drawn from {there.described()} (--max-images)"
        if not folder.two_sided and options.gallery is None:
            note += (
                ": among fewer images the right one is easier to find, so that recall at 1 "
                "flatters the model"
            )
        notes.append(note)
    if crossed is None and (told := bench.told_trained(shown)):
        notes.append(f"{told}: if they are the same, the figures flatter it")
    sides = bench.sides(folder) if crossed is None else Sides(crossed.embedded, None)
    if sides.gallery is not None:
        data += f"; gallery {sides.gallery.folder.name}: {sides.gallery.folder.described()}"
    elif folder.two_sided and sides.right is not None:
        data += f"; right {options.right.resolve().name}: {sides.right.folder.described()}"
    if sides.skipped:
        first = sides.skipped[0]
        notes.append(
            f"{len(sides.skipped):,} images could not be used for the figures of this report; the "
            f"first: {first.shown} ({first.reason})"
        )
    images = len(sides.left.labels)
    with bench.reporter.task("measuring", images) as task:
        measured = measure(
            bench.network,
            sides.left,
            sides.right,
            data=data,
            calibration=bench.checkpoint.manifest.calibration,
            typicality=bench.checkpoint.typicality,
            seed=options.seed,
            max_impostors=options.max_impostors,
            calibrated_on=bench.calibrated_on(sides.left.folder),
            crossed=None if crossed is None else crossed.scored,
            on_progress=task.update,
        )
        task.update(images)
    return measured


def _sampled(folder: ImageFolder, most: int, *, seed: int) -> ImageFolder:
    """At most so many images; of two sides only the left one is sampled, as with a gallery.

    The right one may have a single picture of each class, without which it has no pair.
    """
    left, right = np.flatnonzero(~folder.on_right), np.flatnonzero(folder.on_right)
    labels = folder.labels[left]
    kept = left[sampled_rows(labels, most, seed=seed, paired=have_pairs(folder)[labels])]
    return folder if len(kept) == len(left) else folder.only([*kept.tolist(), *right.tolist()])
