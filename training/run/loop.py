"""The training loop: step after step, with what is told, watched and saved between them."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from training.data.batches import Batches
from training.distributed import Processes
from training.errors import Derailed
from training.guard.guardian import Guardian
from training.history import Row
from training.learning.learner import Learner, Learnt
from training.progress import Task, duration
from training.run.interruption import StopRequest
from training.run.planning import Plan
from training.run.state import Kept, Standing
from training.run.watch import Watch

_TOLD_EVERY = 0.5


class Loop:
    """Trains until the last step or until asked to stop.

    Args:
        learner: What learns.
        plan: When what happens.
        watch: Looks at a network; None to do without.
        guardian: Judges what was seen.
        save: Saves the state.
        stop: Asked to stop?
        task: Told how far it is.
        say: Told what was validated.
        note: Given each row of the history.
        keep: Given the weights of each validation; None where that is not wanted.
        processes: Those that train along, each in `follow`: what is agreed on here in a step is
            agreed on there too.
    """

    def __init__(
        self,
        learner: Learner,
        plan: Plan,
        *,
        watch: Watch | None,
        guardian: Guardian | None,
        save: Callable[[Standing], None],
        stop: StopRequest,
        task: Task,
        say: Callable[[str], None],
        note: Callable[[Row], None],
        keep: Callable[[Kept], None] | None,
        processes: Processes,
    ) -> None:
        self._learner = learner
        self._plan = plan
        self._watch = watch
        self._guardian = guardian
        self._save = save
        self._stop = stop
        self._task = task
        self._say = say
        self._note = note
        self._keep = keep
        self._processes = processes

    def run(self, batches: Batches, standing: Standing) -> Standing:
        """Trains on from where a run stands.

        Returns:
            Where it stands then; fewer steps than planned are done if it was asked to stop, or
            if the plan's patience or time has ended.

        Raises:
            Derailed: The loss is no longer a number: the last saved state is older. Or the
                guardian says to stop: the state is saved.
            TrainingError: The state cannot be saved.
        """
        saved_at = time.monotonic()
        if self._plan.ended(standing):
            return standing
        if self._plan.first and standing.step == 0 and self._watch is not None:
            standing = self._first_look(self._watch, standing)
        stretch = _Stretch(standing.seconds)
        for makings in batches.following(standing.step):
            progress = (standing.step + 0.5) / self._plan.steps
            learnt = self._learner.step(makings, standing.step, progress)
            standing = replace(standing, step=standing.step + 1)
            stretch.add(learnt)
            asked = self._processes.any(self._stop.asked)
            self._tell(stretch, standing.step)
            looking = standing.step in self._plan.validations
            validating = looking and self._watch is not None
            due = time.monotonic() - saved_at >= self._plan.save_every
            # A row even where nobody validates: it says how long it has taken.
            if self._ends_row(standing.step) or looking or due or asked:
                standing = self._with_row(standing, stretch, validating=validating)
                stretch = _Stretch(standing.seconds)
            if validating:
                self._judge(standing)
            if due or asked:
                self._save(standing)
                saved_at = time.monotonic()
            # Asked or not: where it is over, the others are to know that it was not broken off.
            if self._over(standing) or asked:
                break
        return standing

    def _first_look(self, watch: Watch, standing: Standing) -> Standing:
        """Validates the weights that training starts from. It has no row: nothing was learnt."""
        sight = watch(self._learner.result)
        where = "images trained on" if watch.trained_on else "validation classes"
        self._say(
            f"before training: equal error rate {sight.eer:.2%}, AUC {sight.auc:.4f} on {where}"
        )
        return standing if watch.trained_on else self._with_kept(standing, sight.eer)

    def _judge(self, standing: Standing) -> None:
        verdict = None if self._guardian is None else self._guardian.verdict(standing.history)
        if verdict is not None:
            self._save(standing)
            raise verdict

    def _over(self, standing: Standing) -> bool:
        """Whether nothing follows this step, as is agreed on where there might have been a look."""
        if standing.step in self._plan.validations and self._processes.any(
            self._plan.ended(standing)
        ):
            self._say_the_end(standing)
            return True
        return standing.step >= self._plan.last

    def _say_the_end(self, standing: Standing) -> None:
        if standing.step >= self._plan.last:
            return
        limit = self._plan.max_seconds
        if limit is not None and self._plan.out_of_time(standing):
            self._say(f"step {standing.step}: the time for training is over ({duration(limit)})")
        else:
            self._say(
                f"step {standing.step}: the equal error rate has not fallen for "
                f"{self._plan.patience} validations, so training ends here"
            )

    def _ends_row(self, step: int) -> bool:
        return step % self._plan.row_steps == 0 or step == self._plan.last

    def _with_row(self, standing: Standing, stretch: "_Stretch", *, validating: bool) -> Standing:
        loss = stretch.mean_loss()
        if not math.isfinite(loss):
            lower = self._learner.recipe.optimiser.learning_rate / 3
            raise Derailed.unless(
                f"the loss is no longer a number at step {standing.step} (learning rate "
                f"{stretch.rate:.3g}); ",
                f"a lower learning rate, such as --set optimiser.learning_rate={lower:.2g}, or "
                "--set clip=1",
            )
        row = Row(
            step=standing.step,
            epoch=standing.step / self._plan.epoch_steps,
            seconds=stretch.seconds(),
            learning_rate=stretch.rate,
            loss=loss,
            images_per_second=stretch.speed(),
            accuracy=stretch.mean_accuracy(),
        )
        standing = replace(standing, seconds=stretch.seconds())
        if validating and self._watch is not None:
            sight = self._watch(self._learner.result)
            if self._guardian is not None:
                row = self._guardian.noted(row, sight.closeness, standing.history)
            if self._watch.trained_on:
                row = replace(row, train_auc=sight.auc)
            else:
                row = replace(row, eer=sight.eer, auc=sight.auc, one_shot=sight.one_shot)
                standing = self._with_kept(standing, sight.eer)
            self._say(row.described())
        self._note(row)
        return replace(standing, history=(*standing.history, row))

    def _with_kept(self, standing: Standing, eer: float) -> Standing:
        best = self._plan.keep_best and (standing.best is None or eer < standing.best.eer)
        if not best and self._keep is None:
            return standing
        weights = {
            name: tensor.detach().to("cpu", copy=True)
            for name, tensor in self._learner.result.state_dict().items()
        }
        kept = Kept(standing.step, eer, weights)
        if self._keep is not None:
            self._keep(kept)
        return replace(standing, best=kept) if best else standing

    def _tell(self, stretch: "_Stretch", step: int) -> None:
        if time.monotonic() - stretch.told_at >= _TOLD_EVERY or step == self._plan.last:
            accuracy = stretch.last_accuracy()
            parts = [
                f"loss {stretch.last_loss():.3f}",
                *([] if accuracy is None else [f"accuracy {accuracy:.1%}"]),
                f"{stretch.speed():,.0f} images/s",
                f"learning rate {stretch.rate:.2g}",
            ]
            self._task.update(step, ", ".join(parts))
            stretch.told_at = time.monotonic()


class _Stretch:
    """Steps that become one row. What they measured stays on the device until it is asked for."""

    def __init__(self, seconds_before: float) -> None:
        self.rate = 0.0
        self.told_at = 0.0
        self._before = seconds_before
        self._began = time.monotonic()
        self._losses: list[torch.Tensor] = []
        self._accuracies: list[torch.Tensor] = []
        self._images = 0

    def add(self, learnt: Learnt) -> None:
        self._losses.append(learnt.loss)
        if learnt.accuracy is not None:
            self._accuracies.append(learnt.accuracy)
        self._images += learnt.images
        self.rate = learnt.rate

    def mean_loss(self) -> float:
        return float(torch.stack(self._losses).mean())

    def last_loss(self) -> float:
        return float(self._losses[-1])

    def mean_accuracy(self) -> float | None:
        return float(torch.stack(self._accuracies).mean()) if self._accuracies else None

    def last_accuracy(self) -> float | None:
        return float(self._accuracies[-1]) if self._accuracies else None

    def speed(self) -> float:
        return self._images / max(time.monotonic() - self._began, 1e-9)

    def seconds(self) -> float:
        return self._before + time.monotonic() - self._began
