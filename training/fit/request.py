"""What a user asks of a fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from model_store.store import ModelStore

MINUTES = 20.0
"""What `fit` may take where nobody chose a recipe."""


@dataclass(frozen=True)
class FitRequest:
    """What a user asks for.

    Attributes:
        data: Folder or zip to train on.
        name: The model's name.
        store: Where it goes.
        device: Where to compute.
        recipe: A name or file; None to choose by the data.
        overrides: `key=value` each.
        holdout: Folder or zip that validates and calibrates.
        right: Folder or zip of the right side's images, for networks whose sides differ.
        resume: Whether to go on with an unfinished run.
        restart: Whether to throw an unfinished run away.
        save_every: Seconds between two savings of the state.
        command: The command, for the record.
        tensorboard: Folder for TensorBoard's scalars, if they are wanted.
        minutes: What it may take at most; None for as long as the recipe says, or for `MINUTES`
            where there is no recipe.
    """

    data: Path
    name: str
    store: ModelStore
    device: torch.device
    recipe: str | None = None
    overrides: Sequence[str] = ()
    holdout: Path | None = None
    right: Path | None = None
    resume: bool = False
    restart: bool = False
    save_every: float = 60.0
    command: str = ""
    tensorboard: Path | None = None
    minutes: float | None = None
