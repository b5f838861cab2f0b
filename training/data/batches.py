"""Making each step's batch, ahead of the network where that saves time."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import torch

from training.data.augmentation import Augmentation
from training.data.batch import Batch
from training.data.sampling import Sampler
from training.data.training_set import TrainingSet
from training.randomness import Stream, torch_generator

_AHEAD = 2


class Batches:
    """The batches of a run, each a function of the seed and its step alone.

    Images are read ahead in a thread. Augmentation runs on the network's device, in the thread
    that asks: on a GPU it is then a few kernels among many, and on a CPU all cores are the
    network's already.

    Args:
        images: What is trained on.
        sampler: What each step takes of it.
        augmentation: What happens to it.
        seed: The run's seed.
        device: The network's.
        steps: Of the whole run.
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
    ) -> None:
        self._images = images
        self._sampler = sampler
        self._augmentation = augmentation
        self._seed = seed
        self._device = device
        self._steps = steps

    def batch(self, step: int) -> Batch:
        """The batch of one step, counted from 0, on the device."""
        return self._augmented(self._read(step), step)

    def following(self, step: int) -> Iterator[Batch]:
        """The batches from a step on, to the end of the run."""
        pending: deque[Future[Batch]] = deque()
        thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        try:
            for ahead in range(step, self._steps):
                pending.append(thread.submit(self._read, ahead))
                if len(pending) > _AHEAD:
                    yield self._augmented(pending.popleft().result(), step)
                    step += 1
            while pending:
                yield self._augmented(pending.popleft().result(), step)
                step += 1
        finally:
            thread.shutdown(cancel_futures=True)

    def _read(self, step: int) -> Batch:
        draw = self._sampler.draw(step)
        labels = torch.from_numpy(self._images.table.labels[draw.indices])
        batch = Batch(
            images=self._images.images(draw.indices),
            labels=labels,
            groups=self._images.groups[labels],
            pairs=None if draw.pairs is None else torch.from_numpy(draw.pairs),
            same=None if draw.same is None else torch.from_numpy(draw.same).to(torch.float32),
            progress=(step + 0.5) / self._steps,
        )
        if self._device.type != "cuda" or batch.images.is_cuda:
            return batch
        # Page-locked, so that the copy to the GPU runs beside the network.
        return replace(batch, images=batch.images.pin_memory())

    def _augmented(self, batch: Batch, step: int) -> Batch:
        batch = batch.to(self._device)
        generator = torch_generator(self._seed, Stream.AUGMENTATION, step)
        return replace(batch, images=self._augmentation(batch.images, generator))
