"""Making each step's batch, ahead of the network where that saves time."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

import torch

from training.data.augmentation import Augmentation
from training.data.batch import Batch
from training.data.sampling import Sampler
from training.data.training_set import TrainingSet
from training.randomness import Stream, torch_generator
from training.threads import threads

_AHEAD = 2

Making = Callable[[], Batch]
"""Makes a batch ready for the network, in whichever thread wants it."""


class Batches:
    """The batches of a run, each a function of the seed and its step alone.

    Images are read ahead in a thread. What is left to do, moving to the device and augmentation,
    is done by whoever takes a batch: on a GPU it is then a few kernels among many, and on a CPU
    it runs in the thread that works on that batch.

    Args:
        images: What is trained on.
        sampler: What each batch takes of it.
        augmentation: What happens to it.
        seed: The run's seed.
        device: The network's.
        steps: Of the whole run.
        per_step: Batches a step.
        mine: Which of a step's batches are made, where other processes make the others.
    """

    def __init__(
        self,
        images: TrainingSet,
        sampler: Sampler,
        augmentation: Augmentation,
        *,
        seed: int,
        device: torch.device,
        steps: int,
        per_step: int = 1,
        mine: range | None = None,
    ) -> None:
        self._images = images
        self._sampler = sampler
        self._augmentation = augmentation
        self._seed = seed
        self._device = device
        self._steps = steps
        self._per_step = per_step
        self._mine = range(per_step) if mine is None else mine

    def following(self, step: int) -> Iterator[tuple[Making, ...]]:
        """The batches of each step from a step on, to the end of the run."""
        pending: deque[Future[tuple[Making, ...]]] = deque()
        with threads(1, "batches") as thread:
            for ahead in range(step, self._steps):
                pending.append(thread.submit(self.of, ahead))
                if len(pending) > _AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def of(self, step: int) -> tuple[Making, ...]:
        """The batches of one step, be it beyond the end of the run."""
        progress = min(1.0, (step + 0.5) / max(1, self._steps))
        first = step * self._per_step
        return tuple(
            partial(self._ready, self._read(number, progress), number)
            for number in (first + position for position in self._mine)
        )

    def _read(self, number: int, progress: float) -> Batch:
        draw = self._sampler.draw(number)
        batch = self._images.batch(draw, self._images.images(draw.indices), progress)
        if self._device.type != "cuda" or batch.images.is_cuda:
            return batch
        # Page-locked, so that the copy to the GPU runs beside the network.
        return replace(batch, images=batch.images.pin_memory())

    def _ready(self, batch: Batch, number: int) -> Batch:
        batch = batch.to(self._device)
        generator = torch_generator(self._seed, Stream.AUGMENTATION, number)
        return replace(batch, images=self._augmentation(batch.images, generator))
