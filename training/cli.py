"""The command line of `training`. A new command is one new module and one line here."""

import argparse
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from model_store.errors import TwinlensError
from model_store.files import refusal
from training.errors import Derailed
from training.exits import EXIT_INTERRUPTED
from training.naming import lines_joined, one_line

_COMMANDS = {
    "fit": "train a model on a folder of images",
    "evaluate": "measure a model on a folder of images",
    "cross-validate": "train and measure a recipe, leaving out each class once",
    "calibrate": "recalibrate a model's threshold and probabilities",
    "predict": "compare two pictures with a model",
    "report": "write everything known about a model to one HTML file",
    "copies": "make copies of pictures, to train and judge the finding of near-duplicates on",
}

_TRAIN = ("fit", "cross-validate")
"""Those that train."""


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the process's exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that has no sign for ≤ is no reason to fail.
            stream.reconfigure(errors="replace")
    try:
        with _sigterm_as_ctrl_c():
            return _run(list(sys.argv[1:] if arguments is None else arguments))
    except TwinlensError as error:
        print(f"error: {_told(error)}", file=sys.stderr)
        return 1
    except OSError as error:
        # Such as a path of which not even that may be asked whether it is there.
        print(f"error: {one_line(refusal(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _told(error: TwinlensError) -> str:
    """What an error says, in one line but for advice that has lines of its own.

    Others have line breaks from libraries, or from names of folders, which are to begin no line.
    """
    if isinstance(error, Derailed):
        return "\n".join(map(one_line, str(error).split("\n")))
    return lines_joined(str(error))


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Within it, SIGTERM too ends a command in order, with what to do next said.

    Not under torchrun, whose processes wait for each other where no exception reaches them.
    """
    if "WORLD_SIZE" in os.environ or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(given: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training", description="Train and evaluate models."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    # A command's module, with all the libraries it pulls in, is loaded only when it is asked for.
    asked = next((argument for argument in given if argument in _COMMANDS), None)
    for name, summary in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=_sentence(summary))
        if name == asked:
            module = importlib.import_module(f"training.commands.{name.replace('-', '_')}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    options = parser.parse_args(given)
    from training.memory import LESS_AT_ONCE, shortage_told

    with shortage_told(LESS_AT_ONCE if options.command in _TRAIN else ""):
        status: int = options.run(options)
    return status
