"""Looking at a run as it goes, and saying or stopping it when it has collapsed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from training.errors import Derailed
from training.guard.advice import advice
from training.guard.closeness import Closeness
from training.guard.collapse import Collapse, Looks, find_collapse
from training.guard.collapsed_loss import CollapsedLoss
from training.history import History, Row
from training.recipe import Recipe


class Guardian:
    """Notes where embeddings lie, and judges a run by its history.

    Args:
        recipe: The run's.
        looks: How it is looked at.
        collapsed_loss: What its loss would be worth.
        say: Told of a collapse that does not stop the run.
        kept_in: Where the state of a run that is stopped is to be found.
    """

    def __init__(
        self,
        recipe: Recipe,
        looks: Looks,
        collapsed_loss: CollapsedLoss,
        say: Callable[[str], None],
        kept_in: Path,
    ) -> None:
        self._recipe = recipe
        self._looks = looks
        self._collapsed_loss = collapsed_loss
        self._say = say
        self._kept_in = kept_in

    def noted(self, row: Row, near: Closeness, before: History) -> Row:
        """The row with what was seen after its last step.

        Args:
            row: The row to be added.
            near: Where embeddings lie.
            before: The rows so far.
        """
        first = next((past.step for past in reversed(before) if past.spread is not None), 0)
        return replace(
            row,
            genuine_distance=near.genuine_distance,
            impostor_distance=near.impostor_distance,
            spread=near.spread,
            cosine=near.cosine,
            collapsed_loss=self._collapsed_loss(min(first, row.step - 1), row.step - 1),
        )

    def verdict(self, history: History) -> Derailed | None:
        """Why the run must stop now, and what to change, to be raised; None if it may go on.

        A collapse of a run that is only to be warned of is said once, until it looks well again.
        """
        if self._recipe.guard.action == "ignore":
            return None
        found = find_collapse(history, self._looks)
        if found is None:
            return None
        if self._recipe.guard.action == "stop":
            return Derailed(
                f"{_described(found, self._recipe)}\n",
                f"Its state and history are kept in {self._kept_in}. Change something and begin "
                "anew with --restart; or go on regardless with --resume --set guard.action=warn",
                without_a_run="Change the recipe, or train on regardless with "
                "--set guard.action=warn",
            )
        if _before(history, self._looks) is None:
            self._say(f"note: {_described(found, self._recipe)}")
        return None


def collapses(history: History, looks: Looks) -> tuple[str, ...]:
    """What a run that went on all the same is to be remembered for, in words; mostly nothing."""
    found = [find_collapse(history[:end], looks) for end in range(1, len(history) + 1)]
    met = [collapse for collapse in found if collapse is not None]
    if not met:
        return ()
    return (f"the training had collapsed at step {met[-1].step:,}: {met[-1].text}",)


def _before(history: History, looks: Looks) -> Collapse | None:
    """What the look before the last said."""
    ends = [end for end, row in enumerate(history[:-1], 1) if row.spread is not None]
    return find_collapse(history[: ends[-1]], looks) if ends else None


def _described(collapse: Collapse, recipe: Recipe) -> str:
    lines = [f"training has collapsed at step {collapse.step:,}: {collapse.text}. What can help:"]
    lines += [f"  - {way}" for way in advice(recipe, collapse.symptom)]
    return "\n".join(lines)
