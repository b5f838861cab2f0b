"""Options that several commands share, and what they stand for."""

import argparse
import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from model_store.cpus import available_cpus
from model_store.errors import first_line
from model_store.shipped import SHIPPED
from model_store.store import ModelStore
from training.data.sources import Skipped
from training.errors import TrainingError
from training.progress import Reporter
from training.recipe.sections import LEAST_RATE

_SAID_AT_MOST = 20
_LONGEST = 1_000_000_000
_DEVICE = re.compile(r"cpu|cuda(:\d{1,3})?")


def typed(program: str) -> str:
    """What to type for `python` or another program of the environment that runs.

    Its name alone where the shell would find that one, else its path, as seen from here.
    """
    beside = Path(sys.executable).with_name(program)
    if shutil.which(program) == str(beside):
        return program
    here = Path.cwd()
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)


def given(option: str, value: object) -> list[str]:
    """The words that give an option its value, also one that begins as options do."""
    text = str(value)
    return [f"{option}={text}"] if text.startswith("-") else [option, text]


def add_store(parser: argparse.ArgumentParser) -> None:
    """Adds `--store`."""
    parser.add_argument(
        "--store",
        type=Path,
        default=_default_store(),
        metavar="DIR",
        help="the model store (default: $TWINLENS_MODEL_STORE, else the one shipped)",
    )


def _default_store() -> Path:
    return Path(os.environ.get("TWINLENS_MODEL_STORE") or SHIPPED)


def found_unnamed(store: Path) -> bool:
    """Whether a command, or the service, takes this store where it is told of none.

    Here and in any other shell: one that TWINLENS_MODEL_STORE names in this one is not found there.
    """
    return store == SHIPPED == _default_store()


def store_words(store: Path) -> list[str]:
    """The words that name a store to a command; none where it finds that one without."""
    return [] if found_unnamed(store) else given("--store", store)


def chosen_store(options: argparse.Namespace) -> ModelStore:
    """The store that `--store` names."""
    return ModelStore(options.store)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds `--device`."""
    parser.add_argument(
        "--device",
        default="auto",
        metavar="auto|cpu|cuda",
        help="where to compute (default: auto, which is CUDA where there is one)",
    )


def chosen_device(options: argparse.Namespace) -> torch.device:
    """The device that `--device` names; PyTorch gets no more threads than this process has CPUs.

    Raises:
        TrainingError: It is not there.
    """
    # It counts those of the machine, and with more threads than a container's quota allows most
    # of them would be stopped at any time, and the others wait for them.
    torch.set_num_threads(min(torch.get_num_threads(), available_cpus()))
    name = options.device
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    choose = "choose --device auto, cpu or cuda (of several, cuda:N)"
    # PyTorch knows others, on which not all that is done here can be.
    if not _DEVICE.fullmatch(name):
        raise TrainingError(f"device '{name}' is not known here; {choose}")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error)
        raise TrainingError(f"device '{name}' cannot be used here ({reason}); {choose}") from error
    return device


def whole_number(least: int) -> Callable[[str], int]:
    """A parser of whole numbers from `least` on, for argparse."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of {least} or more")
        return value

    return parse


def time_in(unit: str, *, may_be_zero: bool = False) -> Callable[[str], float]:
    """A parser of times, numbers above 0 and not without bound, for argparse.

    Args:
        unit: What they are in, for the message.
        may_be_zero: Whether 0 is one too.
    """

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value <= _LONGEST or (value == 0 and not may_be_zero):
            least = "of 0 or more" if may_be_zero else "above 0"
            raise argparse.ArgumentTypeError(
                f"'{text}' is not a number of {unit} {least}, and of {_LONGEST:,} at most"
            )
        return value

    return parse


def share(text: str) -> float:
    """A rate or share that may be asked for, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not LEAST_RATE <= value < 1:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not a number from {LEAST_RATE:g} to below 1, such as 0.01"
        )
    return value


def tell_skipped(reporter: Reporter, where: Path, skipped: Sequence[Skipped]) -> None:
    """Says what could not be used of some data, and why; no more than twenty of it."""
    if skipped:
        reporter.say(f"{where}: {len(skipped):,} not used:")
    for entry in skipped[:_SAID_AT_MOST]:
        reporter.say(f"  {entry.shown}: {entry.reason}")
    if len(skipped) > _SAID_AT_MOST:
        reporter.say(f"  … and {len(skipped) - _SAID_AT_MOST:,} more")
