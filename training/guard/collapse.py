"""Whether a training has collapsed, concluded from its history alone."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from training.history import History
from training.recipe import Guard

SPREAD = 1e-3
"""Spread of embeddings at unit length below which they count as one and the same."""

_BELOW, _ABOVE = 0.01, 0.05
_STILL, _ROWS = 0.005, 5
_LOOSELY_APART = 0.75
_BARELY_APART = 0.65
_APART = 0.6


class Symptom(StrEnum):
    """What gives a collapse away."""

    SPREAD = "spread"
    LOSS = "loss"
    CHANCE = "chance"


@dataclass(frozen=True)
class Collapse:
    """A collapse that was noticed.

    Attributes:
        symptom: By what.
        step: After which step.
        text: What was seen, in words.
    """

    symptom: Symptom
    step: int
    text: str


@dataclass(frozen=True)
class Looks:
    """How a run is looked at.

    Attributes:
        guard: The recipe's.
        steps: Of the whole run.
        images: Images that each look takes in; the more, the surer it is.
        data: What they are, in words.
    """

    guard: Guard
    steps: int
    images: int
    data: str


def find_collapse(history: History, looks: Looks) -> Collapse | None:
    """What the last row of a history says, if that row was looked at and it is time to judge.

    Three things give a collapse away:

    - the embeddings are all the same, and the area under the ROC curve is below 0.75, or what is
      left of their spread still tells classes apart;
    - since the look before, the loss has stood where it is when all embeddings are the same: in
      every one of five rows or more within 0.5 %; or its mean within −1 % and +5 %, together with
      an AUC below 0.65. The hardest triplets of a healthy run can give that mean, too, but no
      such rows;
    - genuine and impostor pairs are not told apart: AUC + 2 standard errors is below 0.6. The
      error is that of as many independent pairs as there are images, half of them genuine
      (Hanley, McNeil 1982, with both kinds alike: √((1/G + 1/I) / 12)).

    Args:
        history: To the row to be judged.
        looks: What the rows come from.
    """
    if not history:
        return None
    row = history[-1]
    auc = row.auc if row.auc is not None else row.train_auc
    if auc is None or row.spread is None or row.step < _first_judged(looks):
        return None
    if row.spread < SPREAD and auc < _LOOSELY_APART:
        return Collapse(
            Symptom.SPREAD,
            row.step,
            f"all {looks.images:,} embeddings of the {looks.data} are the same but for a spread "
            f"of {row.spread:.1e} (mean cosine {row.cosine:.6f})",
        )
    since = _since_last_look(history)
    loss = _mean_loss(history, since)
    if _stands(history[since:], row.collapsed_loss) or (
        _is_about(loss, row.collapsed_loss) and auc < _BARELY_APART
    ):
        return Collapse(
            Symptom.LOSS,
            row.step,
            f"the loss stands at {loss:.4f}, and {row.collapsed_loss:.4f} is what it is worth when "
            f"all embeddings are the same (AUC {auc:.3f} on the {looks.data})",
        )
    if auc + 2 * (1 / (3 * looks.images)) ** 0.5 < _APART:
        return Collapse(
            Symptom.CHANCE,
            row.step,
            f"pairs of one class and of two are not told apart: AUC {auc:.3f} on the {looks.data}, "
            f"mean distances {row.genuine_distance:.4g} and {row.impostor_distance:.4g}",
        )
    return None


def _first_judged(looks: Looks) -> float:
    return max(looks.guard.after * looks.steps, looks.guard.least_steps)


def _stands(rows: History, collapsed: float | None) -> bool:
    """Whether not one of the rows is elsewhere."""
    if collapsed is None or collapsed <= 0 or len(rows) < _ROWS:
        return False
    return all(abs(row.loss / collapsed - 1) <= _STILL for row in rows)


def _is_about(loss: float, collapsed: float | None) -> bool:
    if collapsed is None or collapsed <= 0:
        return False
    return -_BELOW <= loss / collapsed - 1 <= _ABOVE


def _since_last_look(history: History) -> int:
    """The first row after the look before the last row."""
    earlier = [at for at, row in enumerate(history[:-1]) if row.spread is not None]
    return earlier[-1] + 1 if earlier else 0


def _mean_loss(history: History, first: int) -> float:
    """The mean over all steps of the rows from `first` on."""
    ends = [row.step for row in history[first:]]
    lengths = np.diff([history[first - 1].step if first else 0, *ends])
    return float(np.average([row.loss for row in history[first:]], weights=lengths))
