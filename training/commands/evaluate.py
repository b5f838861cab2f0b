"""`python -m training evaluate`: how good a model is, by one of four protocols."""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue
from rich.console import Console
from rich.table import Table

from model_store.manifest import Evaluation
from training.commands.common import whole_number
from training.commands.material import Bench, Sides, add_material
from training.data.folders import Skipped
from training.errors import DataError
from training.evaluation.figures import Figures
from training.evaluation.pairs import MAX_IMPOSTORS
from training.evaluation.protocols.omniglot_runs import omniglot_runs
from training.evaluation.protocols.one_shot import TRIALS, WAYS, one_shot
from training.evaluation.protocols.retrieval import retrieval
from training.evaluation.protocols.verification import verification
from training.prepare import described

_OMNIGLOT_RUNS = "omniglot-runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes."""
    add_material(parser)
    parser.add_argument(
        "--protocol",
        required=True,
        choices=[*_PROTOCOLS, _OMNIGLOT_RUNS],
        help="verification: are two images of one class; retrieval: which image of the gallery is "
        "most alike; one-shot: which of N candidates; omniglot-runs: the same on Lake's own trials",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--record",
        action="store_true",
        help="add the figures to the model's manifest, as a new version of it",
    )
    parser.add_argument(
        "--max-impostors",
        type=whole_number(1),
        default=MAX_IMPOSTORS,
        metavar="N",
        help=f"verification: above it, a sample of impostor pairs (default: {MAX_IMPOSTORS:,})",
    )
    parser.add_argument(
        "--ways",
        type=whole_number(2),
        default=WAYS,
        help=f"one-shot: candidates of a query (default: {WAYS})",
    )
    parser.add_argument(
        "--trials",
        type=whole_number(1),
        default=TRIALS,
        help=f"one-shot: queries (default: {TRIALS:,})",
    )


@dataclass(frozen=True)
class _Measured:
    figures: Figures
    data: str
    digest: str
    skipped: tuple[Skipped, ...] = ()


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit status.

    Raises:
        TwinlensError: The model or the data cannot be used.
    """
    bench = Bench(options)
    measured = _runs(bench, options) if options.protocol == _OMNIGLOT_RUNS else None
    measured = measured or _measure(bench, options)
    version = bench.checkpoint.manifest.version
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{bench.name} version {version}, {options.protocol}", markup=False)
    console.print(f"on {measured.data}", markup=False)
    console.print(_table(measured))
    if options.json is not None:
        _write_json(options, bench, measured)
    if options.record:
        reference = bench.store.revise(
            bench.name,
            evaluations=(
                Evaluation(
                    protocol=options.protocol,
                    data=measured.data,
                    data_digest=measured.digest,
                    figures=measured.figures.to_json(),
                ),
            ),
        )
        bench.reporter.say(f"recorded in {reference.name} version {reference.version}")
    return 0


def _measure(bench: Bench, options: argparse.Namespace) -> _Measured:
    sides = bench.sides()
    folder = sides.left.folder
    digest = folder.digest()
    calibration = bench.checkpoint.manifest.calibration
    if options.protocol == "verification" and calibration and calibration.data_digest == digest:
        bench.reporter.say(
            "note: the model is calibrated on these very images; its calibration error and the "
            "rates at its threshold are flattering here"
        )
    data = f"{folder.name}, {options.classes} classes: {described(folder)}"
    if sides.gallery is not None:
        gallery = sides.gallery.folder
        data += f"; gallery {gallery.name}: {described(gallery)}"
    return _Measured(
        _PROTOCOLS[options.protocol](bench, sides, options), data, digest, sides.skipped
    )


def _verification(bench: Bench, sides: Sides, options: argparse.Namespace) -> Figures:
    return verification(
        sides.left,
        bench.network,
        right=sides.right,
        calibration=bench.checkpoint.manifest.calibration,
        seed=options.seed,
        max_impostors=options.max_impostors,
    )


def _retrieval(bench: Bench, sides: Sides, options: argparse.Namespace) -> Figures:
    return retrieval(sides.left, bench.network, gallery=sides.right, seed=options.seed)


def _one_shot(bench: Bench, sides: Sides, options: argparse.Namespace) -> Figures:
    if sides.gallery is not None:
        raise DataError("one-shot trials are drawn from --data alone; leave --gallery out")
    figures = one_shot(
        sides.left,
        bench.network,
        candidates=sides.right,
        ways=options.ways,
        trials=options.trials,
        seed=options.seed,
    )
    if figures.fewest_ways < options.ways:
        bench.reporter.say(
            f"note: no group has {options.ways} classes with two images; some trials have only "
            f"{figures.fewest_ways} candidates"
        )
    return figures


def _runs(bench: Bench, options: argparse.Namespace) -> _Measured:
    if options.gallery is not None:
        raise DataError("the runs name their own candidates; leave --gallery out")
    figures = omniglot_runs(options.data, bench.network, device=bench.device, seed=options.seed)
    return _Measured(figures, f"{options.data.name}: {figures.runs} runs", "")


_PROTOCOLS: dict[str, Callable[[Bench, Sides, argparse.Namespace], Figures]] = {
    "verification": _verification,
    "retrieval": _retrieval,
    "one-shot": _one_shot,
}


def _write_json(options: argparse.Namespace, bench: Bench, measured: _Measured) -> None:
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
        "skipped": skipped,
        **measured.figures.to_json(),
    }
    try:
        options.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise DataError(f"{options.json} cannot be written ({error.strerror})") from error


def _table(measured: _Measured) -> Table:
    table = Table()
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    _add_rows(table, "", measured.figures.to_json())
    return table


def _add_rows(table: Table, prefix: str, figures: dict[str, JsonValue]) -> None:
    """One row a figure, its interval beside it, nested figures below their name."""
    for name, value in figures.items():
        if name == "interval" or name.endswith("_interval"):
            continue
        interval = figures.get(f"{name}_interval", figures.get("interval"))
        if not isinstance(value, dict):
            shown = interval if isinstance(value, float) else None
            table.add_row(prefix + name, _shown(value), "" if shown is None else _shown(shown))
        elif isinstance(interval, dict):
            both = {**value, **{f"{key}_interval": entry for key, entry in interval.items()}}
            _add_rows(table, f"{prefix}{name} ", both)
        else:
            _add_rows(table, f"{prefix}{name} ", value)


def _shown(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return " – ".join(_shown(entry) for entry in value)
    return "–" if value is None else str(value)
