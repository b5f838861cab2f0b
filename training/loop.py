"""The training loop: step after step, with what is told, watched and saved between them."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from model_store.network import SiameseNetwork
from training.data.batches import Batches
from training.errors import TrainingError
from training.history import Row
from training.interruption import StopRequest
from training.learner import Learner, Learnt
from training.progress import Task
from training.state import Best, Standing
from training.watch import Sight

_ROWS = 200
_TOLD_EVERY = 0.5


@dataclass(frozen=True)
class Plan:
    """When the loop does what.

    Attributes:
        steps: Of the whole run.
        epoch_steps: Steps of a pass through the data.
        validations: Steps after which the network is validated.
        keep_best: Whether the best weights validated are kept aside.
        save_every: Seconds between two savings of the state.
    """

    steps: int
    epoch_steps: float
    validations: frozenset[int]
    keep_best: bool
    save_every: float

    @property
    def row_steps(self) -> int:
        """Steps that a row of the history covers at most."""
        return max(1, self.steps // _ROWS)


def validation_steps(steps: int, times: int) -> frozenset[int]:
    """The steps after which to validate: evenly spread, the last one among them."""
    return frozenset(steps * part // times for part in range(1, times + 1)) - {0}


class Loop:
    """Trains until the last step or until asked to stop.

    Args:
        learner: What learns.
        plan: When what happens.
        watch: Validates a network; None to do without.
        save: Saves the state.
        stop: Asked to stop?
        task: Told how far it is.
        say: Told what was validated.
    """

    def __init__(
        self,
        learner: Learner,
        plan: Plan,
        *,
        watch: Callable[[SiameseNetwork], Sight] | None,
        save: Callable[[Standing], None],
        stop: StopRequest,
        task: Task,
        say: Callable[[str], None],
    ) -> None:
        self._learner = learner
        self._plan = plan
        self._watch = watch
        self._save = save
        self._stop = stop
        self._task = task
        self._say = say

    def run(self, batches: Batches, standing: Standing) -> Standing:
        """Trains on from where a run stands.

        Returns:
            Where it stands then; fewer steps than planned are done if it was asked to stop.

        Raises:
            TrainingError: The loss is no longer a number. The last saved state is older.
        """
        saved_at = time.monotonic()
        stretch = _Stretch(standing.seconds)
        for makings in batches.following(standing.step):
            progress = (standing.step + 0.5) / self._plan.steps
            learnt = self._learner.step(makings, standing.step, progress)
            standing = replace(standing, step=standing.step + 1)
            stretch.add(learnt)
            self._tell(stretch, standing.step)
            validating = self._watch is not None and standing.step in self._plan.validations
            due = time.monotonic() - saved_at >= self._plan.save_every
            if self._ends_row(standing.step) or validating or due or self._stop.asked:
                standing = self._with_row(standing, stretch, validating=validating)
                stretch = _Stretch(standing.seconds)
            if due or self._stop.asked:
                self._save(standing)
                saved_at = time.monotonic()
            if self._stop.asked:
                break
        return standing

    def _ends_row(self, step: int) -> bool:
        return step % self._plan.row_steps == 0 or step == self._plan.steps

    def _with_row(self, standing: Standing, stretch: "_Stretch", *, validating: bool) -> Standing:
        loss = stretch.mean_loss()
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is no longer a number at step {standing.step} (learning rate "
                f"{stretch.rate:.3g}); begin anew with --restart and a lower learning rate, such "
                f"as --set optimiser.learning_rate="
                f"{self._learner.recipe.optimiser.learning_rate / 3:.2g}, or --set clip=1"
            )
        row = Row(
            step=standing.step,
            epoch=standing.step / self._plan.epoch_steps,
            seconds=stretch.seconds(),
            learning_rate=stretch.rate,
            loss=loss,
            images_per_second=stretch.speed(),
        )
        standing = replace(standing, seconds=stretch.seconds())
        if validating and self._watch is not None:
            sight = self._watch(self._learner.result)
            row = replace(row, eer=sight.eer, auc=sight.auc, one_shot=sight.one_shot)
            standing = self._with_best(standing, sight.eer)
            self._say(described(row))
        return replace(standing, history=(*standing.history, row))

    def _with_best(self, standing: Standing, eer: float) -> Standing:
        if not self._plan.keep_best or (standing.best and standing.best.eer <= eer):
            return standing
        weights = {
            name: tensor.detach().to("cpu", copy=True)
            for name, tensor in self._learner.result.state_dict().items()
        }
        return replace(standing, best=Best(standing.step, eer, weights))

    def _tell(self, stretch: "_Stretch", step: int) -> None:
        if time.monotonic() - stretch.told_at >= _TOLD_EVERY or step == self._plan.steps:
            detail = (
                f"loss {stretch.last_loss():.3f}, {stretch.speed():,.0f} images/s, "
                f"learning rate {stretch.rate:.2g}"
            )
            self._task.update(step, detail)
            stretch.told_at = time.monotonic()


def described(row: Row) -> str:
    """A validated row in words."""
    parts = [f"equal error rate {row.eer:.2%}", f"AUC {row.auc:.4f}"]
    if row.one_shot is not None:
        parts.append(f"one-shot accuracy {row.one_shot:.2%}")
    return f"step {row.step}: {', '.join(parts)} on validation classes"


class _Stretch:
    """Steps that become one row. Losses stay on the device until they are asked for."""

    def __init__(self, seconds_before: float) -> None:
        self.rate = 0.0
        self.told_at = 0.0
        self._before = seconds_before
        self._began = time.monotonic()
        self._losses: list[torch.Tensor] = []
        self._images = 0

    def add(self, learnt: Learnt) -> None:
        self._losses.append(learnt.loss)
        self._images += learnt.images
        self.rate = learnt.rate

    def mean_loss(self) -> float:
        return float(torch.stack(self._losses).mean())

    def last_loss(self) -> float:
        return float(self._losses[-1])

    def speed(self) -> float:
        return self._images / max(time.monotonic() - self._began, 1e-9)

    def seconds(self) -> float:
        return self._before + time.monotonic() - self._began
