"""`python -m training cross-validate`: how well a recipe does on classes it leaves out, in turn."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from model_store.cpus import available_cpus
from training.automatic import USUAL, choose
from training.commands.common import (
    add_device,
    add_store,
    chosen_device,
    chosen_store,
    tell_skipped,
    whole_number,
)
from training.commands.recipes import add_recipe, prepare_for
from training.cross_validation import (
    Fold,
    averaged,
    cross_validate,
    deal_folds,
    from_json,
    to_json,
)
from training.data.folders import ImageFolder
from training.data.parts import Parts, Sources, Unusable, open_sources
from training.data.split import told_of_start
from training.data.usable import unusable_images
from training.errors import DataError
from training.initialise import start_learnt
from training.outputs import can_be_read_again, check_file, write_file
from training.progress import Reporter
from training.recipe.files import check_overrides, load_recipe, to_yaml

_CHOSEN_BY = ("seed", "max_steps")
"""What is set in a recipe that the choice of one has to know."""

_GO_ON = "free space or mend the permissions, and go on with the same command"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="folder or zip of classes"
    )
    add_recipe(parser)
    parser.add_argument(
        "--folds", type=whole_number(2), default=5, help="how many parts (default: 5)"
    )
    parser.add_argument(
        "--right", type=Path, metavar="DIR", help="images on the right of a pair, as of `fit`"
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write every fold there as it is done; folds that are there already are not redone",
    )
    add_store(parser)
    add_device(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit status.

    Raises:
        TwinlensError: The data, the recipe or the device cannot be used, or FILE not be written.
    """
    reporter = Reporter()
    if options.json is not None:
        check_file(options.json, "--json")
    device = chosen_device(options)
    prepare_for(device)
    sources = open_sources(options.data, None, options.right)
    _tell_not_used(sources, reporter)
    about: dict[str, object] = {"data": sources.train.digest(), "folds": options.folds}
    # Before images are looked at and a recipe is chosen, which takes minutes.
    _done(options.json, about)
    folder = _usable(sources.train, reporter)
    name, overrides = options.recipe, list(options.overrides)
    begun: tuple[str, ...] = ()
    if name is None:
        check_overrides(USUAL, overrides)
        # What would end it after the choice, which takes minutes, does so before.
        known = [each for each in overrides if each.partition("=")[0].strip() in _CHOSEN_BY]
        usual = load_recipe(USUAL, known)
        deal_folds(folder, options.folds, usual.seed)
        chosen = choose(
            folder,
            names=folder.class_names,
            device=device,
            seed=usual.seed,
            reporter=reporter,
            length_given=usual.max_steps is not None,
        )
        name, begun = chosen.recipe, chosen.overrides
        reporter.say(
            f"{chosen.tried}\nrecipe '{name}', because {chosen.reason}\n"
            "note: all classes took part in this choice, so the folds, which are judged on classes "
            "among them, flatter a little; name a recipe with --recipe for figures that do not"
        )
    recipe = load_recipe(name, overrides, chosen=begun)
    names = folder.class_names
    if flattered := told_of_start(names, start_learnt(recipe.start, chosen_store(options))):
        reporter.say(f"note: {flattered}")
    if recipe.calibration.folds:
        reporter.say(
            "note: calibration.folds is for the calibration of a model that fit keeps; here each "
            "fold is trained once, whatever it says"
        )
    about["recipe"] = to_yaml(recipe).decode()
    done = _done(options.json, about)
    folds = cross_validate(
        folder,
        recipe,
        Path(name).stem,
        folds=options.folds,
        start=len(done),
        store=chosen_store(options),
        device=device,
        reporter=reporter,
    )
    try:
        for fold in folds:
            done.append(fold)
            if options.json is not None and _is_due(options.json, ended=len(done) == options.folds):
                content = {**about, "done": [to_json(each) for each in done], "mean": _means(done)}
                write_file(options.json, (json.dumps(content, indent=2) + "\n").encode(), _GO_ON)
    except KeyboardInterrupt:
        reporter.say(_kept(options.json, len(done)))
        raise
    _show(done)
    return 0


def _tell_not_used(sources: Sources, reporter: Reporter) -> None:
    """Says what is left alone; validation classes that the data brings are among it."""
    holdout = sources.holdout
    if holdout is not None:
        reporter.say(
            f"not used: {holdout.source.name} ({holdout.described()}): the classes of "
            f"{sources.train.source.name} alone are dealt into folds, and judge in turn"
        )
    for line in replace(sources, holdout=None).not_used():
        reporter.say(line)


def _usable(folder: ImageFolder, reporter: Reporter) -> ImageFolder:
    """The images that can be decoded; the others are told here, once for all folds."""
    with reporter.task("looking at images", len(folder.items)) as task:
        unusable = unusable_images(folder, workers=available_cpus(), on_progress=task.update)
    tell_skipped(reporter, folder.source, unusable)
    return Parts(folder, None, None).without(Unusable(train=unusable)).train


def _is_due(path: Path, *, ended: bool) -> bool:
    """Whether to write what is done: what does not stay is only written once, at the end."""
    return ended or can_be_read_again(path)


def _kept(path: Path | None, done: int) -> str:
    """What is left of an interrupted run, and what to do to have more of the next one."""
    if path is not None and not done:
        return f"no fold is done yet; each is in {path} from then on"
    if path is None or not path.is_file():
        return "nothing was kept; with --json FILE every fold is, as it is done"
    return f"{done} fold(s) are in {path}; the same command goes on after them"


def _means(folds: list[Fold]) -> dict[str, float]:
    return {name: figure.mean for name, figure in averaged(folds).items()}


def _done(path: Path | None, about: dict[str, object]) -> list[Fold]:
    """The folds that a file has.

    Raises:
        DataError: They are of another cross-validation than this one, as far as that is known, or
            the file cannot be read.
    """
    if path is None or not path.exists() or not can_be_read_again(path):
        return []
    try:
        content = json.loads(path.read_bytes())
        if {key: content[key] for key in about} != about:
            raise DataError(
                f"{path} is of other data, another recipe or another number of folds; give "
                "another file, or remove it"
            )
        return [from_json(entry) for entry in content["done"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be gone on with ({error}); remove it") from error


def _show(folds: list[Fold]) -> None:
    table = Table(title=f"{len(folds)} folds by class, verification")
    for heading in ("figure", "mean", "deviation", "least", "most"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for name, figure in averaged(folds).items():
        values = (figure.mean, figure.deviation, figure.least, figure.most)
        table.add_row(name, *(f"{value:.4f}" for value in values))
    Console().print(table)
