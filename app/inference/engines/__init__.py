"""Engines by name. A new one is one new file and one entry here."""

from typing import Literal

import torch

from app.inference.cpus import available_cpus
from app.inference.engines.base import Embeddings, Engine, Features, UInt8Batch, sides
from app.inference.engines.torch_cpu import TorchCpuEngine
from app.inference.engines.torch_cuda import TorchCudaEngine
from app.inference.errors import InferenceError
from model_store import Checkpoint

__all__ = [
    "Embeddings",
    "Engine",
    "Features",
    "UInt8Batch",
    "choose_device",
    "make_engine",
    "sides",
]


def choose_device(wanted: Literal["auto", "cpu", "cuda"]) -> str:
    """The device that networks will run on.

    Raises:
        InferenceError: CUDA is asked for and there is none.
    """
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise InferenceError(
            "DEVICE=cuda is set and this machine has no CUDA device that PyTorch can use; install "
            "the driver and a CUDA build of PyTorch, or set DEVICE=auto"
        )
    return "cuda:0"


def make_engine(
    checkpoint: Checkpoint, *, engine: Literal["auto", "torch"], device: str, threads: int = 0
) -> Engine:
    """An engine for the branches of a checkpoint's network, which it may take over.

    Args:
        checkpoint: The network; its comparator stays on the CPU, untouched.
        engine: `auto` takes the fastest there is; so far that is always `torch`.
        device: From `choose_device`.
        threads: Threads to compute on with the CPU; 0 for as many as there are CPUs.
    """
    del engine  # One kind exists for each device so far.
    if device == "cpu":
        return TorchCpuEngine(checkpoint.network, threads or available_cpus())
    return TorchCudaEngine(checkpoint.network, device)
