"""How speed grows with what is asked: `python -m benchmarks.growth`.

Images/s and latency by images in a batch, by the size of a JPEG, by models that requests are spread
over, and of `/compare/many` by candidates; points are measured in interleaved rounds, and figures
are medians.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from benchmarks.growth.chart import draw
from benchmarks.growth.rounds import Effort
from benchmarks.growth.sweeps import SWEEPS
from benchmarks.output import add_outputs, write_outputs
from benchmarks.processes import exit_on_signals
from benchmarks.provenance import heading, provenance


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The sweeps that are wanted."""
    effort = Effort(options.rounds, options.seconds)
    result: dict[str, Any] = {
        **provenance("benchmarks.growth"),
        "rounds": effort.rounds,
        "seconds": effort.seconds,
    }
    with tempfile.TemporaryDirectory() as folder:
        result["sweeps"] = {
            name: SWEEPS[name](effort, Path(folder) / name) for name in options.sweeps
        }
    return result


def report(result: Mapping[str, Any]) -> str:
    """A table in Markdown for each sweep."""
    lines = [heading(result)]
    for rows in result["sweeps"].values():
        heads = [name.replace("_", " ") for name in rows[0]]
        lines += ["", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        lines += [f"| {' | '.join(map(_shown, row.values()))} |" for row in rows]
    return "\n".join(lines)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}"
    return str(value)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--sweeps", nargs="+", choices=SWEEPS, default=list(SWEEPS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    add_outputs(parser, plot=True)
    return parser.parse_args(arguments)


def main() -> None:
    """Runs, prints, and writes what it is asked to."""
    options = parse()
    exit_on_signals()
    threadpool_limits(1, user_api="blas")  # In process as in the service.
    result = measure(options)
    print(report(result))
    write_outputs(options, result, draw)


if __name__ == "__main__":
    main()
