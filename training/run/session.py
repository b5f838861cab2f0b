"""One run, from its classes to trained weights."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import torch

from model_store.cpus import available_cpus
from model_store.network import SiameseNetwork
from model_store.store import ModelStore
from training.components import build
from training.data.augmentation import AUGMENTATIONS
from training.data.batches import Batches
from training.data.folders import ImageFolder
from training.data.pixels import PixelsAsTheyCome, PixelsInMemory, load_pixels
from training.data.training_set import TrainingSet
from training.distributed import Processes
from training.errors import TrainingError
from training.guard.collapse import Looks
from training.guard.collapsed_loss import CollapsedLoss
from training.guard.guardian import Guardian, collapses
from training.hardware import hardware
from training.history import Row
from training.initialise import MOST_IMAGES, Origin, open_origin, whiten
from training.learning.learner import Learner
from training.memory import available_bytes
from training.progress import Reporter
from training.run.finishing import MOST_FINISHING, discriminate
from training.run.folder import Run
from training.run.following import follow
from training.run.interruption import StopRequest
from training.run.job import Job, Trained
from training.run.loop import Loop
from training.run.planning import Plan, plan_training
from training.run.state import Standing, from_bytes, load_state, save_state, to_bytes
from training.run.tensorboard import scalars
from training.run.watch import Watch, some_classes, with_pairs

_LOOKED_AT = 500


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
    ) -> None:
        self._job = job
        self._run = run
        self._store = store
        self._device = device
        self._save_every = save_every
        self._reporter = reporter
        self._tensorboard = tensorboard
        self._processes = processes or Processes()

    def train(self) -> Trained | None:
        """Trains to the last step.

        Returns:
            The outcome; None if it was interrupted, the state being saved.

        Raises:
            TwinlensError: Recipe and data do not go together, or the loss left the numbers.
        """
        recipe = self._job.recipe
        # What cannot be had is said before the images are read, which can take minutes.
        origin = None if self._run.resumable else self._origin()
        pixels = self._pixels(self._job.parts.train)
        try:
            images = TrainingSet(pixels, turned_classes=recipe.data.turned_classes)
            batches, plan = self._batches(images)
            learner = self._learner(images, plan, origin)
            watch = self._watch()
            guardian = self._guardian(learner, images, plan, watch)
            standing = self._loop(learner, plan, batches, watch, guardian)
            ended = plan.ended(standing)
            network = self._finished(learner.result, images) if ended else None
        finally:
            if isinstance(pixels, PixelsAsTheyCome):
                pixels.close()
        if network is None:
            return None
        notes = () if watch is None else collapses(standing.history, self._looks(plan, watch))
        return Trained(network, standing, pixels.skipped, self._run.start(), notes)

    def follow(self) -> bool:
        """Trains along with the first process.

        Returns:
            Whether the training came to its end; False if it was interrupted.

        Raises:
            TwinlensError: Recipe and data do not go together, or another process ended.
        """
        pixels = self._pixels(self._job.parts.train)
        try:
            images = TrainingSet(pixels, turned_classes=self._job.recipe.data.turned_classes)
            batches, plan = self._batches(images)
            learner = self._learner(images, plan, None)
            with StopRequest() as stop:
                standing = from_bytes(self._processes.from_first(), learner)
                return follow(
                    learner, plan, batches, standing, processes=self._processes, stop=stop
                )
        finally:
            if isinstance(pixels, PixelsAsTheyCome):
                pixels.close()

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

    def _origin(self) -> Origin:
        recipe = self._job.recipe
        return open_origin(recipe.start, recipe.network, self._store)

    def _begin_from(self, origin: Origin, images: TrainingSet, network: SiameseNetwork) -> None:
        recipe = self._job.recipe
        report = origin.fill(network)
        for line in report.lines():
            self._reporter.say(line)
        if report.matches:
            self._run.write_start(report.to_json())
        if recipe.start.projection is not None:
            self._project(whiten, network, images, "whitening", MOST_IMAGES)

    def _finished(self, network: SiameseNetwork, images: TrainingSet) -> SiameseNetwork:
        if self._job.recipe.finish.projection is not None:
            self._project(discriminate, network, images, "finishing", MOST_FINISHING)
        return network

    def _project(
        self,
        set_it: Callable[..., str],
        network: SiameseNetwork,
        images: TrainingSet,
        title: str,
        most: int,
    ) -> None:
        """Sets the projection in closed form."""
        recipe = self._job.recipe
        augmentation = build(
            AUGMENTATIONS, "augmentation", recipe.augmentation, recipe.preprocessing
        )
        count = min(most, len(images.table.labels))
        with self._reporter.task(title, count) as task:
            told = set_it(
                network,
                images,
                mirrored=augmentation.mirrors,
                seed=recipe.seed,
                device=self._device,
                on_progress=task.update,
            )
        self._reporter.say(told)

    def _batches(self, images: TrainingSet) -> tuple[Batches, Plan]:
        return plan_training(
            images,
            self._job.recipe,
            self._device,
            validates=self._validates,
            save_every=self._save_every,
            processes=self._processes,
        )

    def _loop(
        self,
        learner: Learner,
        plan: Plan,
        batches: Batches,
        watch: Watch | None,
        guardian: Guardian | None,
    ) -> Standing:
        standing = self._standing(learner)
        if self._processes.count > 1:
            self._processes.from_first(to_bytes(learner, standing))
        parameters = sum(parameter.numel() for parameter in learner.network.parameters())
        self._reporter.say(
            f"training '{self._run.name}': {self._job.parts.train.described()}, {parameters:,} "
            f"parameters, {plan.steps:,} steps ({plan.steps / plan.epoch_steps:.1f} epochs) on "
            f"{hardware(self._device)}{self._beside()}"
        )

        def save(standing: Standing) -> None:
            save_state(self._run.state, learner, standing)
            self._run.write_history(standing.history)

        with (
            StopRequest() as stop,
            self._noting(standing.step) as note,
            self._reporter.task("training", plan.steps, standing.step) as task,
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
                processes=self._processes,
            )
            standing = loop.run(batches, standing)
            if not stop.asked or plan.ended(standing):
                # Figures take minutes on some data; a kill then must not cost the training.
                save(standing)
        return standing

    def _standing(self, learner: Learner) -> Standing:
        if self._run.resumable:
            standing = load_state(self._run.state, learner)
            self._reporter.say(f"going on after step {standing.step:,}")
            return standing
        if not self._run.begun:
            self._run.begin(self._job.recipe, self._job.split, self._job.record)
        return Standing()

    def _noting(self, done: int) -> AbstractContextManager[Callable[[Row], None]]:
        if self._tensorboard is None:
            return nullcontext(lambda _: None)
        return scalars(self._tensorboard / self._run.name, done)

    def _beside(self) -> str:
        count = self._processes.count
        return "" if count == 1 else f", in {count} processes"

    def _pixels(self, folder: ImageFolder) -> PixelsInMemory | PixelsAsTheyCome:
        share = self._job.recipe.data.memory_share
        pixels = self._loaded(
            folder, "reading images", int(share * available_bytes() / self._processes.count)
        )
        if isinstance(pixels, PixelsAsTheyCome):
            self._reporter.say(
                f"{folder.described()} are more than data.memory_share={share} of the free memory "
                "holds; they are decoded as they are wanted, which is slower"
            )
        elif self._device.type == "cuda":
            return _on_device(pixels, self._device)
        return pixels

    @property
    def _validates(self) -> bool:
        return self._job.parts.validation is not None and self._job.recipe.validation.times > 0

    def _watch(self) -> Watch | None:
        recipe, parts = self._job.recipe, self._job.parts
        folder, images, title = parts.validation, recipe.validation.images, "validation images"
        if not self._validates:
            folder, images, title = with_pairs(parts.train), _LOOKED_AT, "images to look at"
        if folder is None or not (self._validates or recipe.guard.action != "ignore"):
            return None
        some = some_classes(folder, images, recipe.seed)
        pixels = self._loaded(some, f"reading {title}", available_bytes())
        if isinstance(pixels, PixelsAsTheyCome):
            pixels.close()
            raise TrainingError(
                f"{len(some.items):,} validation images do not fit into memory; use fewer with "
                "--set validation.images=1000"
            )
        return Watch(pixels, self._device, recipe.seed, trained_on=not self._validates)

    def _guardian(
        self, learner: Learner, images: TrainingSet, plan: Plan, watch: Watch | None
    ) -> Guardian | None:
        if watch is None:
            return None
        recipe = self._job.recipe
        value = CollapsedLoss(learner.loss, images, recipe, plan.steps)
        return Guardian(recipe, self._looks(plan, watch), value, self._reporter.say, self._run.path)

    def _looks(self, plan: Plan, watch: Watch) -> Looks:
        data = "images trained on" if watch.trained_on else "validation images"
        return Looks(self._job.recipe.guard, plan.steps, watch.images, data)

    def _loaded(
        self, folder: ImageFolder, title: str, budget: int
    ) -> PixelsInMemory | PixelsAsTheyCome:
        recipe = self._job.recipe
        with self._reporter.task(title, len(folder.items)) as task:
            return load_pixels(
                folder,
                recipe.preprocessing,
                budget=budget,
                workers=recipe.data.workers or max(1, available_cpus() // self._processes.count),
                on_progress=lambda done, _: task.update(done),
            )


def _on_device(pixels: PixelsInMemory, device: torch.device) -> PixelsInMemory:
    """Images on the GPU itself, if they take no more than a quarter of what is free there."""
    free, _ = torch.cuda.mem_get_info(device)
    if pixels.images.numel() > free // 4:
        return pixels
    return PixelsInMemory(pixels.folder, pixels.images.to(device), pixels.skipped)
