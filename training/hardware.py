"""What computes."""

import platform

import torch

from model_store.cpus import available_cpus


def hardware(device: torch.device) -> str:
    """What computes, in general words: the GPU's name, or how many cores of which kind."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{available_cpus()} CPU cores ({platform.machine()})"
