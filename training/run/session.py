"""One run, from its classes to trained weights."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import torch

from model_store.network import SiameseNetwork
from model_store.store import ModelStore
from training.data.batches import Batches
from training.data.training_set import TrainingSet
from training.distributed import Processes
from training.guard.collapse import Looks
from training.guard.collapsed_loss import CollapsedLoss
from training.guard.guardian import Guardian, collapses
from training.hardware import hardware
from training.history import Row
from training.initialise import Origin, open_origin
from training.learning.learner import Learner
from training.progress import Reporter, Task
from training.run.folder import Run
from training.run.following import follow
from training.run.interruption import StopRequest
from training.run.job import Job, Trained
from training.run.loop import Loop
from training.run.planning import Plan, plan_training
from training.run.projections import finish_projection, set_whitening
from training.run.reading import Reading
from training.run.state import Standing, from_bytes, load_state, to_bytes
from training.run.tensorboard import scalars
from training.run.watch import Watch


class Session:
    """Trains in one process, from the beginning or from a saved state.

    Args:
        job: What to train.
        run: Where the state is kept.
        store: Where a model to start from is looked for.
        device: Where to compute.
        save_every: Seconds between two savings.
        reporter: Told how far it is.
        tensorboard: Folder for TensorBoard's scalars, if they are wanted.
        processes: Those that train together; the first one trains, the others follow.
        until: The step to end after, the schedule being that of the whole training; None for the
            recipe's end.
        anew: Whether what is in the run's folder is of an earlier run, which ends only once this
            one can begin.
    """

    def __init__(
        self,
        job: Job,
        run: Run,
        *,
        store: ModelStore,
        device: torch.device,
        save_every: float,
        reporter: Reporter,
        tensorboard: Path | None = None,
        processes: Processes | None = None,
        until: int | None = None,
        anew: bool = False,
    ) -> None:
        self._job = job
        self._run = run
        self._store = store
        self._device = device
        self._save_every = save_every
        self._reporter = reporter
        self._tensorboard = tensorboard
        self._processes = processes or Processes()
        self._until = until
        self._anew = anew
        self._start: bytes | None = None
        self._reading = Reading(job, device, reporter, self._processes.count)

    def train(self) -> Trained | None:
        """Trains to the last step.

        Returns:
            The outcome; None if it was interrupted, the state being saved.

        Raises:
            TwinlensError: Recipe and data do not go together, or the loss left the numbers.
            KeyboardInterrupt: It was interrupted in its last step; the state is saved.
        """
        recipe = self._job.recipe
        # What cannot be had is said before the images are read, which can take minutes.
        origin = None
        if self._anew or not self._run.resumable:
            origin = open_origin(recipe.start, recipe.network, self._store)
        with self._reading.training_set() as images:
            batches, plan = self._batches(images)
            learner = self._learner(images, plan, origin)
            watch = self._reading.watch()
            guardian = self._guardian(learner, images, plan, watch)
            standing = self._loop(learner, plan, batches, watch, guardian)
            if not plan.ended(standing):
                return None
            network = learner.result
            finish_projection(network, images, recipe, self._device, self._reporter)
        notes = () if watch is None else collapses(standing.history, self._looks(plan, watch))
        return Trained(network, standing, images.skipped, self._run.start(), notes)

    def follow(self) -> bool:
        """Trains along with the first process.

        Returns:
            Whether the training came to its end; False if it was interrupted.

        Raises:
            TwinlensError: Recipe and data do not go together, or another process ended.
        """
        with self._reading.training_set() as images:
            batches, plan = self._batches(images)
            learner = self._learner(images, plan, None)
            with StopRequest() as stop:
                standing = from_bytes(self._processes.from_first(), learner)
                return follow(
                    learner, plan, batches, standing, processes=self._processes, stop=stop
                )

    def _learner(self, images: TrainingSet, plan: Plan, origin: Origin | None) -> Learner:
        recipe = self._job.recipe
        return Learner(
            recipe,
            len(images.table),
            self._device,
            begin=None if origin is None else partial(self._begin_from, origin, images),
            frozen_steps=recipe.freeze.steps(plan.epoch_steps),
            processes=self._processes,
        )

    def _begin_from(self, origin: Origin, images: TrainingSet, network: SiameseNetwork) -> None:
        recipe = self._job.recipe
        report = origin.fill(network)
        for line in report.lines():
            self._reporter.say(line)
        if report.matches:
            self._start = report.to_json()
        if recipe.start.projection is not None:
            set_whitening(network, images, recipe, self._device, self._reporter)

    def _batches(self, images: TrainingSet) -> tuple[Batches, Plan]:
        return plan_training(
            images,
            self._job.recipe,
            self._device,
            validates=self._job.validates,
            save_every=self._save_every,
            processes=self._processes,
            until=self._until,
        )

    def _loop(
        self,
        learner: Learner,
        plan: Plan,
        batches: Batches,
        watch: Watch | None,
        guardian: Guardian | None,
    ) -> Standing:
        goes_on = self._run.resumable and not self._anew
        standing = load_state(self._run.state, learner) if goes_on else Standing()

        def save(standing: Standing) -> None:
            self._run.write_state(to_bytes(learner, standing))
            self._run.write_history(standing.history)

        with self._noting(standing.step) as note:
            # Only now is an earlier run discarded: that was the last that could be refused.
            if goes_on:
                self._reporter.say(f"going on after step {standing.step:,}")
            else:
                self._begin()
            if self._processes.count > 1:
                self._processes.from_first(to_bytes(learner, standing))
            if plan.steps:
                self._reporter.say(self._announced(learner, plan))
            with (
                StopRequest() as stop,
                self._task(plan, standing) as task,
            ):
                loop = Loop(
                    learner,
                    plan,
                    watch=watch,
                    guardian=guardian,
                    save=save,
                    stop=stop,
                    task=task,
                    say=self._reporter.say,
                    note=note,
                    keep=self._run.keep if self._job.recipe.validation.keep == "every" else None,
                    processes=self._processes,
                )
                standing = loop.run(batches, standing)
                if not stop.asked or plan.ended(standing):
                    # Figures take minutes on some data; a kill then must not cost the training.
                    save(standing)
                if stop.asked and plan.ended(standing):
                    # What comes next, such as the trainings for calibration, can take hours. The
                    # others came to their end in order, and wait for this one before they leave.
                    self._processes.meet()
                    raise KeyboardInterrupt
        return standing

    def _announced(self, learner: Learner, plan: Plan) -> str:
        parameters = sum(parameter.numel() for parameter in learner.network.parameters())
        return (
            f"training '{self._run.name}': {self._job.parts.train.described()}, "
            f"{parameters:,} parameters, {_length(plan)} "
            f"({plan.last / plan.epoch_steps:.1f} epochs) on "
            f"{hardware(self._device)}{self._beside()}"
        )

    def _task(self, plan: Plan, standing: Standing) -> AbstractContextManager[Task]:
        if plan.steps == 0:
            return nullcontext(Task("training", 0))
        return self._reporter.task("training", plan.last, standing.step)

    def _begin(self) -> None:
        if self._anew:
            self._run.clear()
        if not self._run.begun:
            self._run.begin(self._job.recipe, self._job.split, self._job.record)
        if self._start is not None:
            self._run.write_start(self._start)

    def _noting(self, done: int) -> AbstractContextManager[Callable[[Row], None]]:
        if self._tensorboard is None:
            return nullcontext(lambda _: None)
        return scalars(self._tensorboard / self._run.name, done, self._reporter.say)

    def _beside(self) -> str:
        count = self._processes.count
        return "" if count == 1 else f", in {count} processes"

    def _guardian(
        self, learner: Learner, images: TrainingSet, plan: Plan, watch: Watch | None
    ) -> Guardian | None:
        if watch is None or plan.last == 0:
            return None
        recipe = self._job.recipe
        value = CollapsedLoss(learner.loss, images, recipe, plan.steps)
        return Guardian(recipe, self._looks(plan, watch), value, self._reporter.say, self._run.path)

    def _looks(self, plan: Plan, watch: Watch) -> Looks:
        data = "images trained on" if watch.trained_on else "validation images"
        return Looks(self._job.recipe.guard, plan.steps, watch.images, data)


def _length(plan: Plan) -> str:
    if plan.last < plan.steps:
        return f"the first {plan.last:,} of {plan.steps:,} steps"
    return f"{plan.steps:,} steps"
