"""PyTorch on a CUDA device, in float32."""

import torch

from app.inference.engines.base import ONE_AT_A_TIME, Features, UInt8Batch
from model_store.network import SiameseNetwork, Side


class TorchCudaEngine:
    """Copies a batch through pinned memory and runs it in one piece, channels last.

    Args:
        network: In evaluation mode; its branches are moved to the device.
        device: `cuda:0` and the like.
        reason: Why it was chosen.

    Attributes:
        name: `torch`.
        device: Where it runs.
        precision: `float32`, without TF32.
        reason: As given.
        concurrency: One call at a time.
    """

    name = "torch"
    precision = "float32"
    concurrency = ONE_AT_A_TIME

    def __init__(self, network: SiameseNetwork, device: str, reason: str = "") -> None:
        self.device = device
        self.reason = reason
        self._network = network
        network.branches.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._pinned = torch.empty(0, dtype=torch.uint8)

    def features(self, batch: UInt8Batch, side: Side) -> Features:
        """As `Engine.features`."""
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            if self._pinned.numel() < batch.size:
                self._pinned = torch.empty(batch.size, dtype=torch.uint8, pin_memory=True)
            staged = self._pinned[: batch.size].view(batch.shape)
            staged.numpy()[...] = batch
            features = self._network.features(staged.to(self.device, non_blocking=True), side)
            # Copying back waits for the device, so the pinned memory is free again after it.
            result: Features = features.cpu().numpy()
        return result

    def warm_up(self, max_batch: int) -> None:
        """Runs the batch sizes 1, 2, 4, … up to `max_batch` once on each side."""
        shape = self._network.preprocessing.shape
        size = 1
        while True:
            blank = torch.zeros((size, *shape), dtype=torch.uint8).numpy()
            for side in self._network.sides:
                self.features(blank, side)
            if size >= max_batch:
                break
            size = min(2 * size, max_batch)

    def close(self) -> None:
        """Moves the weights off the device."""
        self._network.branches.to("cpu")
        self._pinned = torch.empty(0, dtype=torch.uint8)
