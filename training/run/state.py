"""The state of a run between two steps: all that is needed to go on as if nothing had happened.

Randomness is no part of it: every random number follows from the seed and the step.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model_store.shortage import out_of_memory
from training.errors import TrainingError
from training.history import History, from_plain, to_plain
from training.learning.learner import Learner

_FORMAT = 1

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Kept:
    """Weights kept aside.

    Attributes:
        step: Steps done when they were validated.
        eer: Their equal error rate.
        weights: The network's.
    """

    step: int
    eer: float
    weights: Tensors


@dataclass(frozen=True)
class Standing:
    """Where a run stands, its learner apart.

    Attributes:
        step: Steps done.
        seconds: Time spent training.
        history: What happened.
        best: The best weights so far, if the recipe keeps those.
    """

    step: int = 0
    seconds: float = 0.0
    history: History = ()
    best: Kept | None = None

    @property
    def kept_step(self) -> int:
        """The step whose weights are kept: that of the best, or the last."""
        return self.step if self.best is None else self.best.step


def to_bytes(learner: Learner, standing: Standing) -> bytes:
    """The whole state, as `from_bytes` reads it."""
    scaler = learner.precision.scaler
    best = standing.best
    content = {
        "format": _FORMAT,
        "step": standing.step,
        "seconds": standing.seconds,
        "history": to_plain(standing.history),
        "best": None if best is None else (best.step, best.eer, dict(best.weights)),
        "network": learner.network.state_dict(),
        "loss": learner.loss.state_dict(),
        "optimiser": learner.optimiser.state_dict(),
        "mean": None if learner.mean is None else learner.mean.network.state_dict(),
        "anchor": None if learner.anchor is None else learner.anchor.weights,
        "scaler": None if scaler is None else scaler.state_dict(),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def load_state(path: Path, learner: Learner) -> Standing:
    """Puts a saved state into a learner of the same recipe.

    Raises:
        TrainingError: The file is damaged or is of another recipe or Twinlens.
    """
    try:
        return from_bytes(path.read_bytes(), learner)
    except Exception as error:
        # Damage raises all kinds; for want of memory, nothing is damaged.
        if out_of_memory(error):
            raise
        raise TrainingError(
            f"the state in {path} cannot be taken up ({str(error) or type(error).__name__}); begin "
            "anew with --restart"
        ) from error


def from_bytes(data: bytes, learner: Learner) -> Standing:
    """Puts a state into a learner of the same recipe; whatever is wrong with it is raised."""
    content: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    _check_format(content)
    learner.network.load_state_dict(content["network"])
    learner.loss.load_state_dict(content["loss"])
    learner.optimiser.load_state_dict(content["optimiser"])
    if learner.mean is not None:
        learner.mean.network.load_state_dict(content["mean"])
    if learner.anchor is not None:
        learner.anchor.weights = content["anchor"]
    if learner.precision.scaler is not None:
        learner.precision.scaler.load_state_dict(content["scaler"])
    best = content["best"]
    return Standing(
        step=content["step"],
        seconds=content["seconds"],
        history=from_plain(content["history"]),
        best=None if best is None else Kept(*best),
    )


def _check_format(content: dict[str, Any]) -> None:
    if content["format"] != _FORMAT:
        raise ValueError(f"it has format {content['format']}, and {_FORMAT} is read here")
