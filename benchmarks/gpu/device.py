"""What a CUDA device does by itself: products of matrices, and networks without HTTP."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from app.inference.engines import make_engine
from app.inference.engines.torch_cuda import TorchCudaEngine
from app.settings import PrecisionName
from benchmarks.engines.networks import load
from benchmarks.throughput import Contender
from model_store.network import Side

DEVICE = "cuda:0"
_SIDE = 8192
_CALLS = 30


def seconds_of(work: Callable[[], object]) -> float:
    """What a call takes on the device, in the mean of many."""
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(_CALLS):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / _CALLS


def matrix_rate() -> float:
    """Operations a second of a product of two 8192 × 8192 matrices in bfloat16."""
    one = torch.randn(_SIDE, _SIDE, device=DEVICE, dtype=torch.bfloat16)
    other = torch.randn_like(one)
    return 2 * _SIDE**3 / seconds_of(lambda: one @ other)


def measure(
    name: str, precision: PrecisionName, batches: Sequence[int], folder: Path, seconds: float
) -> dict[str, Any]:
    """Images a second of a network.

    Args:
        name: From `benchmarks.engines.networks`.
        precision: As the `PRECISION` setting.
        batches: Images of a batch; the largest is what the engine is warmed up for.
        folder: Where networks are kept.
        seconds: Of each measurement through the engine.

    Returns:
        By batch: `graph`, the recorded kernels alone; `engine`, from pictures in memory to features
        in memory, by as many threads as the service calls it by; `eager`, PyTorch in the same
        precision by autocast, kernel by kernel. `operations` are those of one image.
    """
    checkpoint = load(name, folder)
    network, shape = checkpoint.network, checkpoint.manifest.preprocessing.shape
    with FlopCounterMode(display=False) as counted, torch.inference_mode():
        network.embed(torch.zeros((1, *shape), dtype=torch.uint8))
    engine = make_engine(
        checkpoint, engine="torch", device=DEVICE, precision=precision, cache=folder
    )
    if not isinstance(engine, TorchCudaEngine):
        raise TypeError(f"{name} runs on {engine.name}")
    engine.warm_up(max(batches))
    rates: dict[str, dict[int, float]] = {"graph": {}, "engine": {}, "eager": {}}
    network.to(DEVICE, memory_format=torch.channels_last)  # type: ignore[call-overload]
    half = {"float16": torch.float16, "bfloat16": torch.bfloat16}.get(engine.precision)
    for batch in batches:
        rates["graph"][batch] = batch / seconds_of(engine.recorded(batch, Side.LEFT).replay)
        rates["engine"][batch] = _through(engine, batch, seconds)
        images = torch.randint(0, 256, (batch, *shape), dtype=torch.uint8, device=DEVICE)
        with torch.inference_mode(), torch.autocast("cuda", half, enabled=half is not None):
            rates["eager"][batch] = batch / seconds_of(partial(network.features, images))
    engine.close()
    return {
        "network": name,
        "precision": engine.precision,
        "operations": counted.get_total_flops(),
        "images_per_second": rates,
    }


def _through(engine: TorchCudaEngine, batch: int, seconds: float) -> float:
    images = engine.room(batch)
    images[...] = np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8)
    calls = engine.concurrency.calls
    return Contender(lambda given: engine.features(given, Side.LEFT), calls).rate(images, seconds)
