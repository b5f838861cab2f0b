"""Engines by name. A new one is one new file and one entry here."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from app.inference.engines.base import (
    CALLS_PER_STREAM,
    Embeddings,
    Engine,
    Features,
    UInt8Batch,
)
from app.inference.engines.cpu import make_cpu_engine
from app.inference.engines.cuda import make_cuda_engine
from app.inference.engines.torch_cuda import TorchCudaEngine
from app.inference.errors import InferenceError
from app.settings import EngineName, PrecisionName, Settings
from model_store import Checkpoint
from model_store.cpus import available_cpus

__all__ = [
    "Embeddings",
    "Engine",
    "Features",
    "UInt8Batch",
    "calls_at_once",
    "choose_device",
    "engine_maker",
    "largest_batch",
    "make_engine",
]

# `import openvino` would report to its makers, from a fork of this process that keeps the service's
# port. Where this package is missing it does without; modules beside this one come after it.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

_MOST_CPU = 8
_MOST_CUDA = 256
"""A VGG16 reaches half of what an H200 can multiply from 128 images on."""


def choose_device(wanted: Literal["auto", "cpu", "cuda"]) -> str:
    """The device that networks will run on.

    Raises:
        InferenceError: CUDA is asked for and there is none.
    """
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise InferenceError(
            "TWINLENS_DEVICE=cuda is set and this machine has no CUDA device that PyTorch can use; "
            "install the driver and a CUDA build of PyTorch, or set TWINLENS_DEVICE=auto"
        )
    return "cuda:0"


def calls_at_once(device: str, threads: int) -> int:
    """Most calls that any engine on a device takes at once, each from a thread of its own.

    Args:
        device: From `choose_device`.
        threads: As `make_engine`.
    """
    if device == "cpu":
        return CALLS_PER_STREAM * (threads or available_cpus())
    return TorchCudaEngine.concurrency.calls


def largest_batch(wanted: int, device: str) -> int:
    """Most images in a batch.

    Args:
        wanted: As the `MAX_BATCH` setting.
        device: From `choose_device`.
    """
    if wanted:
        return wanted
    return max(_MOST_CPU, available_cpus()) if device == "cpu" else _MOST_CUDA


def engine_maker(settings: Settings, device: str) -> Callable[[Checkpoint], Engine]:
    """`make_engine` as the settings would have it.

    Args:
        settings: The service's.
        device: From `choose_device`.
    """
    return partial(
        make_engine,
        engine=settings.engine,
        device=device,
        precision=settings.precision,
        threads=settings.compute_threads,
        cache=settings.engine_cache,
    )


def make_engine(
    checkpoint: Checkpoint,
    *,
    engine: EngineName,
    device: str,
    precision: PrecisionName = "auto",
    threads: int = 0,
    cache: Path,
) -> Engine:
    """An engine for the branches of a checkpoint's network, which it may take over.

    Args:
        checkpoint: The network; its comparator stays on the CPU, untouched.
        engine: `auto` takes the fastest there is for this network.
        device: From `choose_device`.
        precision: `auto` takes bfloat16 where the engine is much faster with it.
        threads: Threads to compute on with the CPU; 0 for as many as there are CPUs.
        cache: Folder for converted networks.

    Raises:
        InferenceError: The engine that was asked for cannot run this network on this device, or
            computes something else than the network.
    """
    if device == "cpu":
        return make_cpu_engine(
            checkpoint,
            engine=engine,
            precision=precision,
            threads=threads or available_cpus(),
            cache=cache,
        )
    if engine == "openvino":
        raise InferenceError(
            "TWINLENS_ENGINE=openvino computes on the CPU; set TWINLENS_DEVICE=cpu with it, or "
            "TWINLENS_ENGINE=auto"
        )
    return make_cuda_engine(checkpoint, device=device, precision=precision)
