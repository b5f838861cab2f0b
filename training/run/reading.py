"""The images of a run, read into memory as far as they fit."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import torch

from model_store.cpus import available_cpus
from training.data.folders import ImageFolder
from training.data.pixels import PixelsAsTheyCome, PixelsInMemory, load_pixels
from training.data.sample import sampled_folder
from training.data.training_set import TrainingSet
from training.errors import TrainingError
from training.memory import available_bytes
from training.progress import Reporter
from training.run.job import Job
from training.run.watch import Watch, with_pairs

_LOOKED_AT = 500


class Reading:
    """Reads the images that a job trains on, and those that it is watched by.

    Args:
        job: What is trained.
        device: Where.
        reporter: Told how far it is.
        sharing: How many processes share this machine's memory and CPUs.
    """

    def __init__(self, job: Job, device: torch.device, reporter: Reporter, sharing: int) -> None:
        self._job = job
        self._device = device
        self._reporter = reporter
        self._sharing = sharing

    @contextmanager
    def training_set(self) -> Iterator[TrainingSet]:
        """The images to train on, for as long as the context lasts.

        Raises:
            DataError: Not one image can be decoded.
        """
        folder, asked = self._job.parts.train, self._job.recipe.data
        budget = int(asked.memory_share * available_bytes() / self._sharing)
        pixels = self._loaded(folder, "reading images", budget)
        if isinstance(pixels, PixelsInMemory):
            if self._device.type == "cuda":
                pixels = _on_device(pixels, self._device)
            yield TrainingSet(pixels, turned_classes=asked.turned_classes)
            return
        self._reporter.say(
            f"{folder.described()} are more than data.memory_share={asked.memory_share} of the "
            "free memory holds; they are decoded as they are wanted, which is slower"
        )
        with closing(pixels):
            yield TrainingSet(pixels, turned_classes=asked.turned_classes)

    def watch(self) -> Watch | None:
        """What looks at the network now and then; None if nobody is to.

        It looks at validation classes or, where the run has none or is not to be validated, at
        some of the images trained on, so that a collapse shows.

        Raises:
            DataError: Not one image can be decoded.
            TrainingError: The images do not fit into memory.
        """
        recipe, parts = self._job.recipe, self._job.parts
        validates = self._job.validates
        folder, images, title = parts.validation, recipe.validation.images, "validation images"
        if not validates:
            folder, images, title = with_pairs(parts.train), _LOOKED_AT, "images to look at"
        if folder is None or not (validates or recipe.guard.action != "ignore"):
            return None
        some = sampled_folder(folder, images, seed=recipe.seed)
        pixels = self._loaded(some, f"reading {title}", available_bytes())
        if isinstance(pixels, PixelsAsTheyCome):
            pixels.close()
            raise TrainingError(
                f"{len(some.items):,} validation images do not fit into memory; use fewer with "
                "--set validation.images=1000"
            )
        return Watch(pixels, self._device, recipe.seed, trained_on=not validates)

    def _loaded(
        self, folder: ImageFolder, title: str, budget: int
    ) -> PixelsInMemory | PixelsAsTheyCome:
        recipe = self._job.recipe
        with self._reporter.task(title, len(folder.items)) as task:
            return load_pixels(
                folder,
                recipe.preprocessing,
                budget=budget,
                workers=recipe.data.workers or max(1, available_cpus() // self._sharing),
                on_progress=task.update,
            )


def _on_device(pixels: PixelsInMemory, device: torch.device) -> PixelsInMemory:
    """Images on the GPU itself, if they take no more than a quarter of what is free there."""
    free, _ = torch.cuda.mem_get_info(device)
    if pixels.images.numel() > free // 4:
        return pixels
    return PixelsInMemory(pixels.folder, pixels.images.to(device), pixels.skipped)
