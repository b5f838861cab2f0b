"""`python -m training fit`: from a folder of images to a checkpoint that the service serves."""

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import JsonValue

from model_store.errors import TwinlensError
from model_store.reader import Reference
from model_store.store import ModelStore
from training.commands import report
from training.commands.common import (
    add_device,
    add_store,
    chosen_device,
    chosen_store,
    found_unnamed,
    given,
    store_words,
    time_in,
    typed,
    whole_number,
)
from training.commands.recipes import add_recipe, prepare_for
from training.data.sources.base import printable, shown
from training.distributed import Processes
from training.dry_run.rehearsal import rehearse
from training.errors import EarlierRunKept, TrainingError
from training.evaluation.wording import plain, ways_of
from training.exits import EXIT_INTERRUPTED
from training.fit import MINUTES, FitRequest, fit, fit_along
from training.memory import shortage_told
from training.naming import lines_joined
from training.outputs import check_file
from training.pictures.chart import percent
from training.progress import Reporter
from training.run.folder import Run
from training.run.tensorboard import check_tensorboard

_SAVE_EVERY = 60.0
_REPORTED_IMAGES = 1_000
_EARLIER = (
    "interrupted before the first step: the earlier run is still there; the same command discards "
    "it and begins anew, and the command that it began with goes on with it, given --resume"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder or zip: class/image, group/class/image, or train/ and val/ of either",
    )
    parser.add_argument("--name", required=True, help="name of the model")
    add_recipe(parser)
    parser.add_argument(
        "--minutes",
        type=time_in("minutes"),
        metavar="MINUTES",
        help="time limit, choosing and evaluation included (default: as long as the "
        f"recipe says; {MINUTES:g} where there is no --recipe)",
    )
    parser.add_argument(
        "--holdout",
        type=Path,
        metavar="DIR",
        help="classes used to validate and calibrate; all of --data is then trained on",
    )
    parser.add_argument(
        "--right",
        type=Path,
        metavar="DIR",
        help="images that are on the right of a pair, for a network whose two sides differ, such "
        "as catalogue pictures; classes matched by name with those of --data, which are then on "
        "the left",
    )
    parser.add_argument(
        "--seed", type=whole_number(0), help="seed of all randomness (recipe: seed)"
    )
    unfinished = parser.add_mutually_exclusive_group()
    unfinished.add_argument("--resume", action="store_true", help="continue an unfinished run")
    unfinished.add_argument(
        "--restart", action="store_true", help="discard an unfinished run and start over"
    )
    unfinished.add_argument(
        "--dry-run",
        nargs="?",
        type=Path,
        const=Path("dry-run.png"),
        metavar="FILE",
        help="train nothing: print the recipe, what goes where, shapes, memory, steps and time, "
        "and draw one batch to FILE (default: dry-run.png)",
    )
    parser.add_argument(
        "--save-every",
        type=time_in("seconds", may_be_zero=True),
        default=_SAVE_EVERY,
        metavar="SECONDS",
        help="time between two savings of the state for --resume; 0 for after every step "
        f"(default: {_SAVE_EVERY:g})",
    )
    parser.add_argument(
        "--tensorboard",
        type=Path,
        metavar="DIR",
        help="also write loss, learning rate and validation figures to DIR/NAME for TensorBoard",
    )
    add_store(parser)
    add_device(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit status: 130 if it was interrupted."""
    reporter = Reporter()
    store = chosen_store(options)
    processes = Processes.of_environment()
    device = processes.device(chosen_device(options))
    prepare_for(device)
    if options.tensorboard is not None:
        check_tensorboard()
    overrides = list(options.overrides)
    if options.seed is not None:
        overrides.append(f"seed={options.seed}")
    request = FitRequest(
        data=options.data,
        name=options.name,
        store=store,
        device=device,
        recipe=options.recipe,
        overrides=overrides,
        holdout=options.holdout,
        right=options.right,
        resume=options.resume,
        restart=options.restart,
        save_every=options.save_every,
        command=_recorded(options),
        tensorboard=options.tensorboard,
        minutes=options.minutes,
    )
    if options.dry_run is not None:
        check_file(options.dry_run, "--dry-run")
        if processes.first:
            print(rehearse(request, options.dry_run, reporter, processes))
        return 0
    if not processes.first:
        return 0 if fit_along(request, processes) else EXIT_INTERRUPTED
    try:
        reference = fit(request, reporter, processes)
    except EarlierRunKept:
        print(_EARLIER, file=sys.stderr)
        return EXIT_INTERRUPTED
    except KeyboardInterrupt:
        reference = None
    if reference is None:
        print(_interrupted(options, store), file=sys.stderr)
        return EXIT_INTERRUPTED
    print(_summary(store, reference))
    # A run that goes on may have had a recipe when it began.
    chosen_here = options.recipe is None and not options.resume
    if not (chosen_here and _reported(options)):
        again = shlex.join([typed("python"), "-m", "training", "report", *_report_words(options)])
        print(f"see it all, thresholds and worst pairs too:\n  {again}")
    return 0


def _reported(options: argparse.Namespace) -> bool:
    """Writes the report of a model for whose making nothing was chosen; false if it cannot."""
    parser = argparse.ArgumentParser()
    report.add_arguments(parser)
    words = [*_report_words(options), "--max-images", str(_REPORTED_IMAGES)]
    try:
        with shortage_told():
            report.run(parser.parse_args([*words, "--device", options.device]))
    # The model is made, whatever becomes of its report.
    except TwinlensError as error:
        print(f"note: there is no report: {lines_joined(str(error))}", file=sys.stderr)
        return False
    return True


def _interrupted(options: argparse.Namespace, store: ModelStore) -> str:
    """What to do where the user, or the system, has ended the command."""
    if not Run(store.root, options.name).resumable:
        return (
            "interrupted before the first step: nothing is kept, and the same command begins anew"
        )
    program, *words = _command(options)
    again = shlex.join([typed(program), *words, "--resume"])
    return f"interrupted; go on with:\n  {again}"


def _recorded(options: argparse.Namespace) -> str:
    """The command as the model's files will have it.

    Raises:
        TrainingError: They cannot hold it: a path in it is not valid Unicode.
    """
    command = shlex.join(_command(options))
    if not printable(command):
        raise TrainingError(
            "a path in the command is not valid Unicode, which a model's files cannot hold; rename "
            f"it: {shown(command)}"
        )
    return command


def _command(options: argparse.Namespace) -> list[str]:
    """The command's words."""
    count = Processes.of_environment().count
    words = ["python"] if count == 1 else ["torchrun", "--nproc-per-node", str(count)]
    words += ["-m", "training", "fit", *given("--data", options.data), "--name", options.name]
    for option, value in (
        ("--recipe", options.recipe),
        *(("--set", override) for override in options.overrides),
        ("--minutes", options.minutes),
        ("--seed", options.seed),
        ("--holdout", options.holdout),
        ("--right", options.right),
        ("--tensorboard", options.tensorboard),
        ("--save-every", None if options.save_every == _SAVE_EVERY else options.save_every),
    ):
        if value is not None:
            words += given(option, value)
    words += store_words(options.store)
    if options.device != "auto":
        words += ["--device", options.device]
    return words


def _report_words(options: argparse.Namespace) -> list[str]:
    """What `report` is to be told to show the model on the classes that validate it."""
    words = [options.name, *given("--data", options.holdout or options.data)]
    if options.right is not None:
        words += given("--right", options.right)
    return words + store_words(options.store)


def _percent(rate: JsonValue) -> str:
    return percent(rate) if isinstance(rate, float) else plain(rate)


def _within(interval: JsonValue, told: Callable[[JsonValue], str]) -> str:
    """A figure's 95 % interval, or that there is none."""
    if not isinstance(interval, list):
        return " (too few classes for an interval)"
    low, high = interval
    return f" ({told(low)} to {told(high)})"


def _summary(store: ModelStore, reference: Reference) -> str:
    manifest = store.manifest(reference.name, reference.version)
    lines = [f"{reference.name} version {reference.version}: {reference.path}"]
    for evaluation in manifest.evaluations:
        figures = evaluation.figures
        if evaluation.protocol == "verification":
            lines.append(
                f"  verification: AUC {plain(figures['auc'])}"
                f"{_within(figures['auc_interval'], plain)}, "
                f"equal error rate {_percent(figures['eer'])}"
                f"{_within(figures['eer_interval'], _percent)}"
            )
        elif evaluation.protocol == "one-shot":
            lines.append(
                f"  one-shot, {ways_of(figures)} ways: {_percent(figures['accuracy'])}"
                f"{_within(figures['interval'], _percent)} of {figures['trials']:,} trials"
            )
    if manifest.calibration is None:
        words = [typed("python"), "-m", "training", "calibrate", reference.name]
        again = shlex.join(words + store_words(store.root))
        lines.append(f"  not calibrated; run: {again} --data DIR --far 0.01")
    else:
        lines.append(
            f"  threshold {manifest.calibration.threshold:.4g} for a false-accept rate of "
            f"{manifest.calibration.target_far:g}; of other classes expect "
            f"{percent(manifest.calibration.far_interval[0])} to "
            f"{percent(manifest.calibration.far_interval[1])}; it refuses "
            f"{percent(manifest.calibration.frr)} of genuine pairs"
        )
    if told := store.told_default(reference):
        lines.append(f"  {told}")
    where = ""
    if not found_unnamed(store.root):
        where = f"TWINLENS_MODEL_STORE={shlex.quote(str(store.root))} "
    lines += [
        "serve it, and compare two images:",
        f"  {where}{shlex.quote(typed('python'))} -m app",
        (
            f"  curl -F image_a=@one.png -F image_b=@two.png -F model={reference.name} "
            "http://127.0.0.1:8000/compare"
        ),
    ]
    return "\n".join(lines)
