"""`python -m training evaluate`: how good a model is, by one of four protocols."""

import argparse
import json
from pathlib import Path

from pydantic import JsonValue
from rich.console import Console
from rich.table import Table
from rich.text import Text

from model_store.manifest import Evaluation
from training.commands.common import whole_number
from training.commands.material import Bench, add_material
from training.commands.measuring import PROTOCOLS, Measured, measure
from training.evaluation.pairs import MAX_IMPOSTORS
from training.evaluation.protocols.one_shot import TRIALS, WAYS
from training.evaluation.wording import rows_of
from training.naming import one_line
from training.outputs import check_file, check_folder, write_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    add_material(parser)
    parser.add_argument(
        "--protocol",
        required=True,
        choices=PROTOCOLS,
        help="verification: are two images of one class; retrieval: which image of the gallery is "
        "most alike; one-shot: which of N candidates; omniglot-runs: the same on Lake's own trials",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="write PNG pictures there: ROC, DET, score histogram, and the worst mistakes",
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="add the figures to the model's manifest, as a new version of it; without those of "
        "its calibration where that has seen these classes",
    )
    parser.add_argument(
        "--max-impostors",
        type=whole_number(1),
        default=MAX_IMPOSTORS,
        metavar="N",
        help="verification, and pictures of retrieval: above it, a sample of impostor pairs "
        f"(default: {MAX_IMPOSTORS:,})",
    )
    parser.add_argument(
        "--ways",
        type=whole_number(2),
        default=WAYS,
        help=f"one-shot: candidates per query (default: {WAYS})",
    )
    parser.add_argument(
        "--trials",
        type=whole_number(1),
        default=TRIALS,
        help=f"one-shot: number of queries (default: {TRIALS:,})",
    )


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit status.

    Raises:
        TwinlensError: The model or the data cannot be used.
    """
    bench = Bench(options)
    if options.json is not None:
        check_file(options.json, "--json")
    if options.pictures is not None:
        check_folder(options.pictures, "--pictures")
    if options.record:
        bench.store.check_writable(bench.name)
    measured = measure(bench, options)
    version = bench.checkpoint.manifest.version
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    console.print(f"{bench.name} version {version}, {options.protocol}", markup=False)
    console.print(one_line(f"on {measured.data}"), markup=False)
    console.print(_table(measured))
    if options.json is not None:
        _write_json(options, bench, measured)
    if options.pictures is not None:
        subtitle = f"{bench.name} version {version}, {options.protocol} on {measured.data}"
        _write_pictures(options.pictures, measured.pictures(subtitle))
        bench.reporter.say(f"pictures are in {options.pictures}")
    # Last, because it may be refused: what was measured is then there all the same.
    if options.record:
        evaluation = Evaluation(
            protocol=options.protocol,
            data=measured.data,
            data_digest=measured.digest,
            figures=measured.figures.to_json(),
        )
        if measured.flattered:
            # Whoever reads the manifest later takes them for what it is worth on other classes.
            evaluation = evaluation.without_calibration()
            bench.reporter.say(
                "note: its calibration error and the rates at its threshold are not recorded; "
                "give images of classes that it is not calibrated on for those"
            )
        reference = bench.store.revise(bench.name, version, evaluations=(evaluation,))
        bench.reporter.say(f"recorded in {reference.name} version {reference.version}")
    return 0


def _write_pictures(folder: Path, pictures: dict[str, bytes]) -> None:
    for name, content in pictures.items():
        write_file(folder / name, content)


def _write_json(options: argparse.Namespace, bench: Bench, measured: Measured) -> None:
    skipped: list[JsonValue] = [
        {"image": entry.key, "reason": entry.reason} for entry in measured.skipped
    ]
    manifest = bench.checkpoint.manifest
    content: dict[str, JsonValue] = {
        "model": manifest.name,
        "version": manifest.version,
        "metric": manifest.metric.value,
        "protocol": options.protocol,
        "data": measured.data,
        "data_digest": measured.digest,
        "classes_trained_on": measured.trained_on,
        "calibrated_on": measured.flattered if options.protocol == "verification" else None,
        "skipped": skipped,
        **measured.figures.to_json(),
    }
    write_file(options.json, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def _table(measured: Measured) -> Table:
    table = Table()
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for row in rows_of(measured.figures.to_json()):
        # As text, since the name of a group may have brackets, which would be taken for markup.
        table.add_row(*map(Text, row))
    return table
