"""The options of the commands that train, and what this process needs for it."""

import argparse

import torch

from training.memory import keep_freed_memory
from training.recipe.files import recipe_names


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Adds `--recipe` and `--set` (as `overrides`)."""
    parser.add_argument(
        "--recipe",
        metavar="NAME|FILE",
        help=f"{', '.join(recipe_names())}, or a YAML file (default: chosen by the data)",
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="replace a value of the recipe, such as max_steps=100 or optimiser.name=adam",
    )


def prepare_for(device: torch.device) -> None:
    """Settings of this process that make training fast."""
    if device.type == "cpu":
        keep_freed_memory()
    else:
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
