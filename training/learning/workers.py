"""Working on the batches of a step: side by side on a CPU, one after another elsewhere.

Two batches on a thread each go through a small network faster than one batch of both on two
threads, which wait for each other after every layer.
"""

import copy
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch

from model_store.network import SiameseNetwork
from training.data.batches import Making
from training.learning.freezing import NOTHING_FROZEN, Frozen, enter_training
from training.randomness import Stream, seeded


@dataclass(frozen=True)
class Gradients:
    """What one batch teaches.

    Attributes:
        gradients: Of every parameter; None for one that the batch makes no use of.
        loss: A scalar on the device.
        accuracy: Likewise; None where the loss has none.
        images: Images in the batch.
    """

    gradients: tuple[torch.Tensor | None, ...]
    loss: torch.Tensor
    accuracy: torch.Tensor | None
    images: int


Work = Callable[[SiameseNetwork, Making], Gradients]


class Workers:
    """Runs the batches of a step through one network.

    Every batch begins with the same running statistics, and these become the mean of what the
    batches make of them: the outcome does not depend on how many are worked on at a time.

    Args:
        seed: The run's seed.
        mine: Which of a step's batches are worked on here; other processes work on the others.
        of: Batches a step.
        device: Where the network is.

    Attributes:
        side_by_side: How many batches are worked on at a time, once there has been a step.
    """

    def __init__(self, seed: int, mine: range, of: int, device: torch.device) -> None:
        self._seed = seed
        self._mine = mine
        self._of = of
        self._batches = len(mine)
        self._device = device
        self._twins: list[SiameseNetwork] = []
        self._threads: ThreadPoolExecutor | None = None
        self.side_by_side = 1

    @property
    def gradients_held(self) -> int:
        """Gradients of a weight that there are at a time: of batches worked on, and their sum."""
        return 1 if self._batches == 1 else self.side_by_side + 1

    def run(
        self,
        network: SiameseNetwork,
        makings: Sequence[Making],
        work: Work,
        step: int,
        *,
        frozen: Frozen = NOTHING_FROZEN,
    ) -> Iterator[Gradients]:
        """Works on the batches of a step, in training mode.

        Args:
            network: Its running statistics are updated, its parameters are left alone.
            makings: Make the batches.
            work: What to do with each; called with a network that shares the parameters.
            step: The step's number.
            frozen: What of the backbones stays as it is.

        Yields:
            The results, in the order of the batches. What is taken in and let go before the next
            one is asked for takes no memory any more.
        """
        first = step * self._of + self._mine.start
        if self._batches == 1:
            enter_training(network, frozen)
            with seeded(self._seed, Stream.FORWARD, first, self._device):
                alone = work(network, makings[0])
            yield alone
            return
        if not self._twins:
            self._begin(network, makings[0], work)
        for twin in self._twins:
            for mine, its in zip(network.buffers(), twin.buffers(), strict=True):
                its.copy_(mine)
        networks = [network, *self._twins]
        for each in networks:
            enter_training(each, frozen)
        if self._threads is not None:
            yield from self._worked_on(self._threads, work, networks, makings)
        else:
            for position, (each, making) in enumerate(zip(networks, makings, strict=True)):
                with seeded(self._seed, Stream.FORWARD, first + position, self._device):
                    result = work(each, making)
                yield result
                del result
        _average_statistics(networks)

    def _worked_on(
        self,
        threads: ThreadPoolExecutor,
        work: Work,
        networks: Sequence[SiameseNetwork],
        makings: Sequence[Making],
    ) -> Iterator[Gradients]:
        """No batch is begun before there is room for what it teaches."""
        waiting: deque[Future[Gradients]] = deque()
        try:
            for each, making in zip(networks, makings, strict=True):
                if len(waiting) == self.side_by_side:
                    yield waiting.popleft().result()
                waiting.append(threads.submit(work, each, making))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def _begin(self, network: SiameseNetwork, making: Making, work: Work) -> None:
        """Makes the twins; and threads, if the network is on a CPU and draws no random numbers.

        PyTorch has one generator for all threads: what each drew would depend on who came first.
        """
        self._twins = [_twin(network) for _ in range(self._batches - 1)]
        # Nothing frozen: what a backbone draws once it learns must show now.
        enter_training(self._twins[0], NOTHING_FROZEN)
        if self._device.type != "cpu":
            return
        with seeded(self._seed, Stream.FORWARD):
            before = torch.get_rng_state()
            work(self._twins[0], making)
            if not torch.equal(before, torch.get_rng_state()):
                return
        cores = torch.get_num_threads()
        self.side_by_side = min(self._batches, cores)
        self._threads = ThreadPoolExecutor(
            self.side_by_side,
            "learner",
            initializer=torch.set_num_threads,
            initargs=(cores // self.side_by_side,),
        )


def running_statistics(network: SiameseNetwork) -> list[torch.Tensor]:
    """The floating-point buffers that a step changes: none of parts that are frozen."""
    return [
        buffer
        for module in network.modules()
        if module.training
        for buffer in module.buffers(recurse=False)
        if buffer.is_floating_point()
    ]


def _twin(network: SiameseNetwork) -> SiameseNetwork:
    """A network with the very same parameters, and running statistics of its own."""
    shared = {id(parameter): parameter for parameter in network.parameters()}
    return copy.deepcopy(network, shared)


@torch.no_grad()
def _average_statistics(networks: Sequence[SiameseNetwork]) -> None:
    """Gives the first network the mean of all networks' running statistics."""
    for first, *others in zip(*map(running_statistics, networks), strict=True):
        for other in others:
            first.add_(other)
        first.div_(len(networks))
