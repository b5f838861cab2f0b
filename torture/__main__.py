"""`python -m torture`: runs every trial, and writes what came of it as a report."""

import argparse
import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from model_store import ModelStore
from model_store.cpus import available_cpus
from model_store.imports import import_model
from model_store.shipped import SHIPPED
from torture import checkpoints, fuzz, load
from torture.outcome import Outcome
from torture.scale import FULL, SMALL, Scale, changed

_TRIALS: dict[str, Callable[[Scale, Path], Outcome]] = {
    "overload": load.overload,
    "endurance": load.endurance,
    "clients": load.bad_clients,
    "flips": checkpoints.flips,
    "kills": checkpoints.kills,
    "decoder": fuzz.decoder,
    "http": fuzz.http,
    "schema": fuzz.schema,
}
_TITLE = "# What `python -m torture` found\n"


def main() -> int:
    """Runs the trials; returns the process's exit status, 1 if a demand was not met."""
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--scale", choices=["full", "small"], default="full")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER")
    parser.add_argument("--only", nargs="+", choices=[*_TRIALS], default=[*_TRIALS])
    parser.add_argument("--report", type=Path, help="the file to write; standard output if none")
    chosen = parser.parse_args()
    try:
        scale = changed(FULL if chosen.scale == "full" else SMALL, chosen.set)
    except ValueError as error:
        parser.error(str(error))
    sections = []
    passed = True
    with tempfile.TemporaryDirectory(prefix="twinlens-torture-") as name:
        folder = Path(name)
        _fill(folder)
        for trial in chosen.only:
            print(f"{trial} …", file=sys.stderr, flush=True)
            started = time.monotonic()
            outcome = _TRIALS[trial](scale, folder)
            passed = passed and outcome.passed
            sections.append(_section(trial, outcome, time.monotonic() - started))
            print(sections[-1], file=sys.stderr, flush=True)
            report = "\n".join([_TITLE, _circumstances(scale), *sections])
            # After each trial: the next one may fail, an hour later.
            if chosen.report is not None:
                chosen.report.write_text(report)
    if chosen.report is None:
        print(report)
    return 0 if passed else 1


def _fill(folder: Path) -> None:
    """Makes a store with each shipped model."""
    shutil.copytree(SHIPPED / "glyphs", folder / "glyphs" / "glyphs")
    import_model("photos", ModelStore(folder / "photos"))


def _circumstances(scale: Scale) -> str:
    command = " ".join(["python -m torture", *sys.argv[1:]])
    amounts = ", ".join(f"{name} {value:,}" for name, value in asdict(scale).items())
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("torch", "pillow", "uvicorn")
    )
    return (
        f"- Command: `{command}`\n- Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n"
        f"- Scale: {amounts}\n- Machine: {available_cpus()} CPUs, {platform.machine()}, "
        f"Python {platform.python_version()}, {versions}; load average at the end "
        f"{os.getloadavg()[2]:.1f}\n"
    )


def _section(trial: str, outcome: Outcome, seconds: float) -> str:
    marks = {True: "yes", False: "**no**", None: ""}
    lines = [
        f"## {outcome.title}",
        "",
        f"`--only {trial}`, {seconds:.0f} s",
        "",
        "| What | Found | Must be | Met |",
        "|---|---|---|---|",
        *(
            f"| {what} | {found} | {demand} | {marks[met]} |"
            for what, found, demand, met in outcome.rows
        ),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
