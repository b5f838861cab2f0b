"""One run, from its classes to trained weights."""

import torch

from training.card import hardware
from training.components import build
from training.data.augmentation import AUGMENTATIONS
from training.data.batches import Batches
from training.data.folders import ImageFolder
from training.data.pixels import PixelsAsTheyCome, PixelsInMemory, load_pixels
from training.data.sampling import SAMPLERS
from training.data.training_set import TrainingSet
from training.embedding import available_cores
from training.errors import TrainingError
from training.interruption import StopRequest
from training.job import Job, Trained
from training.learner import Learner
from training.loop import Loop, Plan, validation_steps
from training.memory import available_bytes
from training.prepare import described
from training.progress import Reporter
from training.runs import Run
from training.state import Standing, load_state, save_state
from training.watch import Watch, some_classes


class Session:
    """Trains in one process, from the beginning or from a saved state.

    Args:
        job: What to train.
        run: Where the state is kept.
        device: Where to compute.
        save_every: Seconds between two savings.
        reporter: Told how far it is.
    """

    def __init__(
        self, job: Job, run: Run, *, device: torch.device, save_every: float, reporter: Reporter
    ) -> None:
        self._job = job
        self._run = run
        self._device = device
        self._save_every = save_every
        self._reporter = reporter

    def train(self) -> Trained | None:
        """Trains to the last step.

        Returns:
            The outcome; None if it was interrupted, the state being saved.

        Raises:
            TwinlensError: Recipe and data do not go together, or the loss left the numbers.
        """
        recipe = self._job.recipe
        pixels = self._pixels(self._job.parts.train)
        try:
            images = TrainingSet(pixels, turned_classes=recipe.data.turned_classes)
            learner = Learner(recipe, len(images.table), self._device)
            batches, plan = self._batches(images)
            standing = self._loop(learner, plan, batches)
        finally:
            if isinstance(pixels, PixelsAsTheyCome):
                pixels.close()
        if standing.step < plan.steps:
            return None
        return Trained(learner.result, standing, pixels.skipped)

    def _batches(self, images: TrainingSet) -> tuple[Batches, Plan]:
        recipe = self._job.recipe
        sampler = build(
            SAMPLERS, "sampler", recipe.sampling, images.table, recipe.batch, recipe.seed
        )
        augmentation = build(
            AUGMENTATIONS, "augmentation", recipe.augmentation, recipe.preprocessing
        )
        total = len(images.table.labels)
        images_per_step = sampler.images_per_step * recipe.batches_per_step
        steps = recipe.steps(total, images_per_step)
        batches = Batches(
            images,
            sampler,
            augmentation,
            seed=recipe.seed,
            device=self._device,
            steps=steps,
            per_step=recipe.batches_per_step,
        )
        plan = Plan(
            steps=steps,
            epoch_steps=total / images_per_step,
            validations=validation_steps(steps, recipe.validation.times),
            keep_best=recipe.validation.keep == "best",
            save_every=self._save_every,
        )
        return batches, plan

    def _loop(self, learner: Learner, plan: Plan, batches: Batches) -> Standing:
        watch = self._watch()
        standing = self._standing(learner)
        parameters = sum(parameter.numel() for parameter in learner.network.parameters())
        self._reporter.say(
            f"training '{self._run.name}': {described(self._job.parts.train)}, {parameters:,} "
            f"parameters, {plan.steps:,} steps ({plan.steps / plan.epoch_steps:.1f} epochs) on "
            f"{hardware(self._device)}"
        )

        def save(standing: Standing) -> None:
            save_state(self._run.state, learner, standing)
            self._run.write_history(standing.history)

        with (
            StopRequest() as stop,
            self._reporter.task("training", plan.steps, standing.step) as task,
        ):
            loop = Loop(
                learner, plan, watch=watch, save=save, stop=stop, task=task, say=self._reporter.say
            )
            standing = loop.run(batches, standing)
            if not stop.asked:
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

    def _pixels(self, folder: ImageFolder) -> PixelsInMemory | PixelsAsTheyCome:
        share = self._job.recipe.data.memory_share
        pixels = self._loaded(folder, "reading images", int(share * available_bytes()))
        if isinstance(pixels, PixelsAsTheyCome):
            self._reporter.say(
                f"{described(folder)} are more than data.memory_share={share} of the free memory "
                "holds; they are decoded as they are wanted, which is slower"
            )
        elif self._device.type == "cuda":
            return _on_device(pixels, self._device)
        return pixels

    def _watch(self) -> Watch | None:
        recipe, folder = self._job.recipe, self._job.parts.validation
        if folder is None or recipe.validation.times == 0:
            return None
        some = some_classes(folder, recipe.validation.images, recipe.seed)
        pixels = self._loaded(some, "reading validation images", available_bytes())
        if isinstance(pixels, PixelsAsTheyCome):
            pixels.close()
            raise TrainingError(
                f"{len(some.items):,} validation images do not fit into memory; use fewer with "
                "--set validation.images=1000"
            )
        return Watch(pixels, self._device, recipe.seed)

    def _loaded(
        self, folder: ImageFolder, title: str, budget: int
    ) -> PixelsInMemory | PixelsAsTheyCome:
        recipe = self._job.recipe
        with self._reporter.task(title, len(folder.items)) as task:
            return load_pixels(
                folder,
                recipe.preprocessing,
                budget=budget,
                workers=recipe.data.workers or available_cores(),
                on_progress=lambda done, _: task.update(done),
            )


def _on_device(pixels: PixelsInMemory, device: torch.device) -> PixelsInMemory:
    """Images on the GPU itself, if they take no more than a quarter of what is free there."""
    free, _ = torch.cuda.mem_get_info(device)
    if pixels.images.numel() > free // 4:
        return pixels
    return PixelsInMemory(pixels.folder, pixels.images.to(device), pixels.skipped)
