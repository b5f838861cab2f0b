"""In what precision a network runs on a CUDA device."""

import logging
from dataclasses import asdict

import torch

from app.inference.engines.agreement import EngineDisagrees, check
from app.inference.engines.base import Engine
from app.inference.engines.torch_cuda import TorchCudaEngine
from app.inference.errors import InferenceError
from app.observability.logs import fields
from app.settings import PrecisionName
from model_store import Checkpoint

_logger = logging.getLogger(__name__)

_TENSOR_CORES = (7, 0)
"""The compute capability from which on devices multiply matrices in float16 much faster."""


def make_cuda_engine(checkpoint: Checkpoint, *, device: str, precision: PrecisionName) -> Engine:
    """PyTorch in float16 where the device is fast at it and the network agrees; else in float32.

    Args:
        checkpoint: The network.
        device: `cuda:0` and the like.
        precision: As the `PRECISION` setting.

    Raises:
        InferenceError: There is no such precision on a device.
    """
    if precision == "int8":
        raise InferenceError(
            "TWINLENS_PRECISION=int8 is for the CPU; on CUDA devices set TWINLENS_PRECISION=auto"
        )
    network = checkpoint.network
    if precision != "auto":
        return TorchCudaEngine(network, device, precision, "precision set by PRECISION")
    if torch.cuda.get_device_capability(device) < _TENSOR_CORES:
        return TorchCudaEngine(network, device, "float32", "this device is not faster in float16")
    half = TorchCudaEngine(network, device, "float16", "float16, which this device is made for")
    half.warm_up(len(checkpoint.reference.images))
    try:
        found = check(half, checkpoint.reference)
    except EngineDisagrees as error:
        half.close()
        return TorchCudaEngine(network, device, "float32", f"float32, because {error}")
    _logger.info("engine agrees with PyTorch", extra=fields(precision="float16", **asdict(found)))
    return half
