"""The processes that train one network together, as torchrun starts them.

Every process holds the whole network and works on its share of each step's batches. What they
average after each step makes them one: the weights are those that one process would reach.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed, nn

from model_store.errors import first_line
from model_store.network import SiameseNetwork
from training.errors import TrainingError

# The first process validates and judges while the others wait, which can take hours.
_PATIENCE = timedelta(days=7)

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Processes:
    """One process, and what it does with those beside it. Alone, if torchrun did not start it.

    Args:
        rank: Which one this is, from 0.
        count: How many there are.
        local_rank: Which one it is on its machine, from 0.
    """

    def __init__(self, rank: int = 0, count: int = 1, local_rank: int = 0) -> None:
        self.rank = rank
        self.count = count
        self._local_rank = local_rank

    @classmethod
    def of_environment(cls) -> "Processes":
        """Those that torchrun's variables describe."""
        try:
            rank, count, local = (
                int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")
            )
        except (KeyError, ValueError):
            return cls()
        return cls(rank, count, local)

    @property
    def first(self) -> bool:
        """Whether this is the one that tells, validates, saves and publishes."""
        return self.rank == 0

    def device(self, device: torch.device) -> torch.device:
        """The device of this process: on CUDA one GPU each.

        Raises:
            TrainingError: There are fewer GPUs than processes.
        """
        if self.count == 1 or device.type != "cuda":
            return device
        there = torch.cuda.device_count()
        if self._local_rank >= there:
            raise TrainingError(
                f"{self._local_rank + 1} processes want a GPU each and there are {there}; start "
                f"torchrun with --nproc-per-node {there}, or train on --device cpu"
            )
        torch.cuda.set_device(self._local_rank)
        return torch.device("cuda", self._local_rank)

    def share(self, batches: int) -> range:
        """Which of a step's batches this process works on.

        Args:
            batches: Batches a step, of all processes together.

        Raises:
            TrainingError: They cannot be dealt evenly.
        """
        if batches % self.count:
            raise TrainingError(
                f"the {batches} batches of a step cannot be dealt evenly to {self.count} "
                f"processes; set batches_per_step to a multiple, such as --set batches_per_step="
                f"{-(-batches // self.count) * self.count}, or start as many processes as divide it"
            )
        each = batches // self.count
        return range(self.rank * each, (self.rank + 1) * each)

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Within it the processes are in touch.

        Raises:
            TrainingError: They cannot find each other.
        """
        if self.count == 1:
            yield
            return
        # What is agreed on goes by the CPU even where gradients go by the GPU, which it would
        # keep waiting.
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        with _others_may_be_gone():
            distributed.init_process_group(backend, timeout=_PATIENCE)
        yield
        # Left together, so that nobody's connection ends while another still speaks. After an
        # error the process ends, and its connections with it, which is how the others notice.
        self.meet()
        distributed.destroy_process_group()

    def meet(self) -> None:
        """Waits until every process has come here, as it does when it leaves `joined` in order."""
        # A flag, because reducing none takes no message.
        self.any(False)

    def normalising_together(self, network: SiameseNetwork, device: torch.device) -> SiameseNetwork:
        """The network, its batch normalisation over the batches of all processes.

        Raises:
            TrainingError: The device cannot do that, or a layer that does more than normalise.
        """
        if device.type != "cuda":
            raise TrainingError(
                "synchronised_batch_norm works on GPUs only; leave it out on a CPU, where running "
                "statistics are averaged over the processes all the same"
            )
        if self.count == 1:
            return network
        for parent in list(network.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, _BATCH_NORMS):
                    setattr(parent, name, _conversion(type(layer))(layer))
        return network

    def mean_of(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The mean of each tensor over the processes, as new tensors.

        Args:
            tensors: float32, on one device, of the same shapes in every process.
        """
        if self.count == 1:
            return list(tensors)
        # One message for all of them: many small ones would each wait for the slowest process.
        total = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        with _others_may_be_gone():
            distributed.all_reduce(total)
        parts = torch.split(total.div_(self.count), [tensor.numel() for tensor in tensors])
        return [
            # In the memory order of the original, in which optimisers are fastest.
            torch.empty_like(tensor).copy_(part.view(tensor.shape))
            for tensor, part in zip(tensors, parts, strict=True)
        ]

    def any_of(self, flags: Sequence[bool]) -> list[bool]:
        """For each flag, whether any process has set it.

        Args:
            flags: As many in every process.
        """
        if self.count == 1:
            return list(flags)
        votes = torch.tensor(flags, dtype=torch.uint8)
        with _others_may_be_gone():
            distributed.all_reduce(votes, distributed.ReduceOp.MAX)
        return [bool(vote) for vote in votes.tolist()]

    def any(self, *flags: bool) -> bool:
        """Whether any process says so of any of these."""
        return any(self.any_of(flags))

    def from_first(self, message: bytes = b"") -> bytes:
        """What the first process says, in every process.

        Args:
            message: What to say; of no account in the others.
        """
        if self.count == 1:
            return message
        size = torch.tensor([len(message)])
        with _others_may_be_gone():
            distributed.broadcast(size, 0)
            content = torch.empty(int(size), dtype=torch.uint8)
            if self.first:
                content = torch.frombuffer(bytearray(message), dtype=torch.uint8)
            distributed.broadcast(content, 0)
        return content.numpy().tobytes()


def _conversion(kind: type[nn.Module]) -> Callable[[nn.Module], nn.Module]:
    """What makes a layer of a class one over all processes.

    PyTorch's conversion drops what a subclass adds, such as an activation.
    """
    if kind in _BATCH_NORMS:
        return nn.SyncBatchNorm.convert_sync_batchnorm
    if kind.__module__.partition(".")[0] == "timm":
        from timm.layers.norm_act import BatchNormAct2d, convert_sync_batchnorm

        if kind is BatchNormAct2d:
            return convert_sync_batchnorm
    raise TrainingError(
        "synchronised_batch_norm cannot convert this network: its layers of the class "
        f"{kind.__module__}.{kind.__qualname__} do more than normalise, which would be lost; set "
        "synchronised_batch_norm=false"
    )


@contextmanager
def _others_may_be_gone() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:
        reason = first_line(error)
        raise TrainingError(
            f"this process lost touch with the others that train along ({reason}); what went "
            "wrong is told by the one that ended first. The last saved state is whole: go on "
            "with --resume"
        ) from error
