"""`python -m training calibrate`: probabilities and threshold, for a user's own images."""

import argparse
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.table import Table

from model_store.calibration import Calibration
from model_store.files import read_data
from model_store.manifest import Manifest
from training.calibration import (
    calibrate,
    fit_typicality,
    typicality_warnings,
    unpaired_warnings,
)
from training.calibration.making import distribution_of
from training.calibration.typical import LEAST_IMAGES, LEVEL
from training.commands.common import share, whole_number
from training.commands.material import Bench, add_material
from training.commands.measuring import scored_pairs
from training.data.folders import ImageFolder
from training.errors import DataError
from training.evaluation.embedding import Sides
from training.evaluation.pairs import MAX_IMPOSTORS, ScoredPairs
from training.evaluation.wording import decimal, plain
from training.naming import one_line
from training.publishing.calibrated import CALIBRATED_FILE, calibrated_json
from training.publishing.card import CARD_FILE, calibrated_since, described_since
from training.publishing.warned import WARNINGS_FILE, Warned, read_warned


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    add_material(parser)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "--far",
        type=share,
        help="highest false-accept rate allowed at the threshold, such as 0.01",
    )
    target.add_argument(
        "--describe-only",
        action="store_true",
        help="keep probabilities and threshold; only describe what images and scores look like, "
        "by which answers say what is in distribution and metrics show drift",
    )
    parser.add_argument(
        "--prior",
        type=share,
        default=0.5,
        help="share of genuine pairs that the probabilities assume (default: 0.5)",
    )
    parser.add_argument(
        "--out-of-distribution",
        type=share,
        metavar="SHARE",
        help="share of images of the right kind that may be called out of distribution (default: "
        f"{LEVEL:g})",
    )
    parser.add_argument(
        "--any-pixels",
        action="store_true",
        help="tell what is in distribution by what the network makes of images alone, and not by "
        "what their pixels look like: where others will come from cameras, paper or light that "
        "these images do not show",
    )
    parser.add_argument(
        "--max-impostors",
        type=whole_number(1),
        default=MAX_IMPOSTORS,
        metavar="N",
        help=f"most impostor pairs; of more, a sample is taken (default: {MAX_IMPOSTORS:,})",
    )


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit status.

    Raises:
        TwinlensError: The model or the data cannot be used, or the store cannot be written.
    """
    bench = Bench(options)
    # Before anything is embedded, because that takes long.
    bench.store.check_writable(bench.name)
    before = bench.checkpoint.manifest
    said_before = _said_of(bench.checkpoint.path)
    sides = bench.sides(_folder(bench, options))
    folder = sides.left.folder
    if len(folder.group_names) > 1 and sides.gallery is None:
        bench.reporter.say(
            "note: impostor pairs are of any two classes, across groups as well as within"
        )
    data = bench.described(folder)
    if sides.gallery is not None:
        data += f"; against {sides.gallery.folder.name}: {sides.gallery.folder.described()}"
    scored = scored_pairs(bench, sides, options)
    calibration, warnings = _calibration(options, before, scored, data, folder.digest())
    typicality = fit_typicality(
        sides.left,
        sides.right,
        one_kind=bench.network.shares_weights,
        data=data,
        data_digest=folder.digest(),
        level=LEVEL if options.out_of_distribution is None else options.out_of_distribution,
        pixels=not options.any_pixels,
        seed=options.seed,
    )
    if typicality is None:
        _check_not_asked(options, folder)
    warnings = (*unpaired_warnings(scored), *warnings)
    for warning in (*warnings, *typicality_warnings(typicality)):
        bench.reporter.say(f"warning: {warning}")
    if typicality is None and before.typicality is not None:
        bench.reporter.say(
            f"note: what version {before.version} says of its own kind of images is kept: "
            f"described by {before.typicality.images:,} others, {before.typicality.data}"
        )
    if trained := bench.told_trained(folder):
        # Said before. Whoever meets the threshold later is to know what it is worth.
        flatter = "if they are the same, threshold and probabilities flatter the model"
        warnings = (f"{trained}; {flatter} (calibrate --classes new takes others)", *warnings)
    reference = bench.store.revise(
        bench.name,
        before.version,
        calibration=calibration,
        typicality=typicality,
        files=_files(
            bench.checkpoint.path,
            sides,
            Warned(
                training=said_before.training,
                calibration=said_before.calibration if options.describe_only else warnings,
                typicality=typicality_warnings(typicality or before.typicality),
            ),
            described=options.describe_only,
        ),
    )
    table = Table(title=f"{bench.name}, {before.metric}", title_justify="left")
    table.add_column("")
    table.add_column(f"version {before.version}", justify="right")
    table.add_column(f"version {reference.version}", justify="right")
    old, new = _rows(before.calibration), _rows(calibration)
    for name, value in new.items():
        table.add_row(name, old.get(name, "" if old else "not calibrated"), value)
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    console.print(table)
    told = f"calibrated on {data}"
    if options.describe_only:
        told = f"described by {data}; threshold and probabilities stay as they were"
        told += f", by {calibration.data}" if calibration.data else ""
    console.print(one_line(told), markup=False)
    if typicality is not None:
        console.print(
            f"in distribution: typicality of at least {typicality.level:g}, by "
            f"{typicality.images:,} of these images"
        )
    return 0


def _folder(bench: Bench, options: argparse.Namespace) -> ImageFolder:
    """The images to calibrate by.

    Raises:
        DataError: They cannot be used, or not for what is asked, as far as that is known of images
            that nobody has looked at.
    """
    manifest = bench.checkpoint.manifest
    if options.describe_only and manifest.calibration is None:
        raise DataError(
            f"'{manifest.name}' is not calibrated yet; give --far and no --describe-only"
        )
    folder = bench.folder()
    # A gallery helps to describe what one branch embeds.
    alone = options.gallery is None or not bench.network.shares_weights
    if alone and (len(folder.items) < LEAST_IMAGES or len(folder.classes) < 2):
        _check_not_asked(options, folder)
    return folder


def _check_not_asked(options: argparse.Namespace, folder: ImageFolder) -> None:
    """Refuses what was asked of a description that too few images give none of.

    Raises:
        DataError: Something was.
    """
    asked = {
        "--out-of-distribution": options.out_of_distribution is not None,
        "--any-pixels": options.any_pixels,
        "--describe-only": options.describe_only,
    }
    given = [option for option, there in asked.items() if there]
    if given:
        raise DataError(
            f"{folder.source} has fewer than {LEAST_IMAGES} images, or a single class, to describe "
            "the model's own kind by, a side where its sides differ, so that "
            f"{' and '.join(given)} would do nothing; add images or classes"
            + ("" if options.describe_only else f", or leave {' and '.join(given)} out")
        )


def _calibration(
    options: argparse.Namespace, before: Manifest, scored: ScoredPairs, data: str, digest: str
) -> tuple[Calibration, tuple[str, ...]]:
    """A new calibration, or the old one with the distribution of scores; and what to warn of."""
    if options.describe_only and before.calibration is not None:
        described_now = {"distribution": distribution_of(scored)}
        return before.calibration.model_copy(update=described_now), ()
    found = calibrate(
        scored,
        target_far=options.far,
        prior=options.prior,
        data=data,
        data_digest=digest,
        seed=options.seed,
    )
    return found.calibration, found.warnings


def _said_of(folder: Path) -> Warned:
    """What was warned of a checkpoint before.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return read_warned(folder)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder / WARNINGS_FILE} cannot be read ({error}); put a copy back, or take it away "
            "to do without"
        ) from error


def _files(folder: Path, sides: Sides, warned: Warned, *, described: bool) -> dict[str, bytes]:
    """What lies beside the new version, and lay otherwise, or not, beside the old one.

    The card, if it can be read, notes what of it is not the newest.

    Args:
        folder: The checkpoint's.
        sides: What calibrated it.
        warned: What is to be known of it now.
        described: Whether that is the description alone. The calibration is then still the one
            that the card tells of, and has still seen the classes that it was made by.
    """
    files: dict[str, bytes] = {}
    # By that file a version does not count as an older release's, of whose calibration its card
    # tells; a description leaves the calibration, and so what tells of it.
    if not described or (folder / WARNINGS_FILE).exists():
        files[WARNINGS_FILE] = warned.to_json()
    if not described:
        folders = [side.folder for side in (sides.left, sides.right) if side is not None]
        files[CALIBRATED_FILE] = calibrated_json(
            name for each in folders for name in each.class_names
        )
    noted = described_since if described else calibrated_since
    with suppress(OSError):
        files[CARD_FILE] = noted(read_data(folder / CARD_FILE))
    return files


def _rows(calibration: Calibration | None) -> dict[str, str]:
    if calibration is None:
        return {}
    return {
        "threshold": f"{calibration.threshold:.6g}",
        "chosen for a false-accept rate of": f"{calibration.target_far:g}",
        "false-accept rate": _with_interval(calibration.far, calibration.far_interval),
        "false-reject rate": _with_interval(calibration.frr, calibration.frr_interval),
        "probability: curve": calibration.curve.method,
        **{
            f"probability: log loss, {method}": f"{loss:.4f}"
            for method, loss in calibration.log_losses.items()
        },
        "probability: prior": f"{calibration.prior:g}",
        "genuine pairs": f"{calibration.genuine_pairs:,}",
        "impostor pairs": f"{calibration.impostor_pairs:,}",
        "classes": f"{calibration.classes:,}",
    }


def _with_interval(rate: float, interval: tuple[float, float]) -> str:
    return f"{decimal(rate)} ({plain(list(interval))} of other classes, 95 %)"
