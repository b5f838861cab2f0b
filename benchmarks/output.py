"""Where a benchmark writes what it has found."""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Draw = Callable[[dict[str, Any], Path], None]


def add_outputs(parser: argparse.ArgumentParser, *, plot: bool = False) -> None:
    """Adds `--json`, and `--plot` where there is something to draw."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    if plot:
        parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them there, as a PNG")


def write_outputs(
    options: argparse.Namespace, result: Mapping[str, Any], draw: Draw | None = None
) -> None:
    """Writes the files that are asked for.

    Args:
        options: With what `add_outputs` added.
        result: The figures.
        draw: What `--plot` calls; given where the parser has it.
    """
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    if draw is not None and options.plot is not None:
        draw(dict(result), options.plot)
