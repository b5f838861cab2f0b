"""PyTorch on a CUDA device, every size of batch a recorded graph of kernels."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock

import numpy as np
import torch
from torch import nn

from app.inference.engines.base import Concurrency, Features, UInt8Batch
from app.inference.engines.fusing import fused
from model_store.network import SiameseNetwork, Side
from model_store.preprocessing import apply_normalisation, normalisation

_TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

_CALLS = 2
"""One that is computed, and one whose pictures are brought to the device meanwhile."""

_WARM_UPS = 3


@dataclass(frozen=True, eq=False)
class _Graph:
    """The kernels that embed so many images, from one place in the device's memory to another.

    Attributes:
        images: uint8 (size, height, width, channels), on the device.
        features: float32 (size, dimension), likewise; written by a replay.
        kernels: To be replayed.
    """

    images: torch.Tensor
    features: torch.Tensor
    kernels: torch.cuda.CUDAGraph


class _Place:
    """Page-locked memory for one call, and word of when it is through."""

    def __init__(self, size: int, shape: Sequence[int], dimension: int) -> None:
        self.images = torch.empty((size, *shape), dtype=torch.uint8, pin_memory=True)
        self.features = torch.empty((size, dimension), dtype=torch.float32, pin_memory=True)
        # Blocking: a thread that spins would take a processor from those that decode.
        self.done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]

    def staged(self, batch: UInt8Batch) -> torch.Tensor:
        """The batch in page-locked memory, which the device fetches from by itself."""
        if batch.flags.writeable and batch.flags.c_contiguous:
            given = torch.from_numpy(batch)
            if given.is_pinned():
                return given
        staged = self.images[: len(batch)]
        staged.numpy()[...] = batch
        return staged


class TorchCudaEngine:
    """Replays the network's kernels as they were recorded once for each of a few sizes of batch.

    To start a network's hundred kernels one by one takes the processor longer than the device
    takes to run them for a few images; a graph is started in one piece (Nguyen et al. 2021,
    "Accelerating PyTorch with CUDA Graphs"). Batches between two sizes are computed as the larger,
    and what is in their last places is not looked at.

    Args:
        network: In evaluation mode; its branches are moved to the device.
        device: `cuda:0` and the like.
        precision: `float32` (without TF32), `float16` or `bfloat16`: what convolutions and linear
            layers are computed in; they add up in float32.
        reason: Why it was chosen.

    Attributes:
        name: `torch`.
        device: Where it runs.
        precision: As given.
        reason: As given.
        concurrency: Two calls: while one is computed, the images of the next are brought there.
    """

    name = "torch"
    concurrency = Concurrency(streams=_CALLS, calls=_CALLS)

    def __init__(
        self, network: SiameseNetwork, device: str, precision: str = "float32", reason: str = ""
    ) -> None:
        self.device = device
        self.precision = precision
        self.reason = reason
        self._network = copy.deepcopy(network)
        self._type = _TYPES[precision]
        for side in self._network.sides:
            branch = self._network.branch(side).eval()
            branch.backbone = fused(branch.backbone)
        branches = self._network.branches.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for module in branches.modules():
            # Others (normalisation, pooling) stay in float32, and autocast knows how to join them.
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.to(self._type)
        self._normalisation = normalisation(network.preprocessing, torch.device(device))
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._graphs: dict[tuple[Side, int], _Graph] = {}
        self._sizes: list[int] = []
        self._places: SimpleQueue[_Place] = SimpleQueue()
        self._lock = Lock()

    def features(self, batch: UInt8Batch, side: Side) -> Features:
        """As `Engine.features`; after `warm_up`."""
        most = self._sizes[-1]
        if len(batch) > most:
            parts = [batch[start : start + most] for start in range(0, len(batch), most)]
            return np.concatenate([self.features(part, side) for part in parts])
        count = len(batch)
        size = next(size for size in self._sizes if size >= count)
        place = self._places.get()
        try:
            images = place.staged(batch)
            # What is put onto the stream by one call must not come between the parts of another.
            with self._lock, torch.inference_mode(), torch.cuda.stream(self._stream):
                graph = self._graphs[self._owner(side), size]
                graph.images[:count].copy_(images, non_blocking=True)
                graph.kernels.replay()
                place.features[:count].copy_(graph.features[:count], non_blocking=True)
                place.done.record(self._stream)
            place.done.synchronize()
            return place.features[:count].numpy().copy()
        finally:
            self._places.put(place)

    def room(self, most: int) -> UInt8Batch:
        """As `HasRoom.room`: page-locked, so that the device fetches from it by itself."""
        shape = (most, *self._network.preprocessing.shape)
        return torch.empty(shape, dtype=torch.uint8, pin_memory=True).numpy()

    def warm_up(self, max_batch: int) -> None:
        """Records the kernels for batches of up to `max_batch` images."""
        self._graphs.clear()
        self._places = SimpleQueue()
        self._sizes = _sizes(max_batch)
        shape = self._network.preprocessing.shape
        for _ in range(_CALLS):
            self._places.put(_Place(max_batch, shape, self._network.dimension))
        for side in self._network.sides:
            largest = None
            # The largest first: the others then find room in its memory.
            for size in reversed(self._sizes):
                try:
                    images = torch.zeros((size, *shape), dtype=torch.uint8, device=self.device)
                    graph = self._graphs[side, size] = self._record(images, side, largest)
                except torch.OutOfMemoryError:
                    if size == 1:
                        raise
                    # Larger batches are computed in pieces then.
                    self._sizes.remove(size)
                    torch.cuda.empty_cache()
                    continue
                largest = largest or graph

    def recorded(self, size: int, side: Side) -> torch.cuda.CUDAGraph:
        """The kernels for a batch of so many images, for benchmarks; `warm_up` recorded them."""
        return self._graphs[self._owner(side), size].kernels

    def close(self) -> None:
        """Gives the device's memory back."""
        self._graphs.clear()
        self._places = SimpleQueue()
        # Nobody wants the weights any more: on `meta` they have no values, and nothing is copied.
        self._network.branches.to("meta")
        torch.cuda.empty_cache()

    def _owner(self, side: Side) -> Side:
        """The side whose branch embeds the images of a side."""
        return self._network.sides[0] if self._network.shares_weights else side

    def _record(self, images: torch.Tensor, side: Side, beside: _Graph | None) -> _Graph:
        with torch.inference_mode(), torch.cuda.device(self.device):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                # cuDNN looks for the fastest kernels now, and PyTorch sets its libraries up.
                for _ in range(_WARM_UPS):
                    self._compute(images, side)
            self._stream.synchronize()
            kernels = torch.cuda.CUDAGraph()
            # Of this thread alone: others may well ask the device for memory meanwhile.
            with torch.cuda.graph(
                kernels,
                pool=None if beside is None else beside.kernels.pool(),
                stream=self._stream,
                capture_error_mode="thread_local",
            ):
                features = self._compute(images, side)
        return _Graph(images, features, kernels)

    def _compute(self, images: torch.Tensor, side: Side) -> torch.Tensor:
        exact = self._type is torch.float32
        with (
            torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False),
            torch.autocast("cuda", dtype=self._type, enabled=not exact, cache_enabled=False),
        ):
            pixels = apply_normalisation(images, *self._normalisation)
            return self._network.branch(side).features(pixels)


def _sizes(most: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, 24, … and the largest: at most a third is computed for nothing."""
    sizes, power = {most}, 1
    while power < most:
        sizes |= {power, min(most, power * 3 // 2)}
        power *= 2
    return sorted(sizes)
