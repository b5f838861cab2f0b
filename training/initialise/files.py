"""Tensors from a file of weights, read without running anything that the file holds."""

import pickle
from pathlib import Path

import torch
from safetensors.torch import load_file

from model_store.errors import first_line
from training.errors import TrainingError

# Where training programs keep the weights inside what they save.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net")
_WRAPPED_DEEPEST = 3


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a file, by name, on the CPU.

    Args:
        path: `.safetensors`; or what `torch.save` wrote: a state dictionary, or a dictionary with
            one under a customary key.

    Raises:
        TrainingError: It is not there, or holds no tensors, or more than tensors, or some whose
            values are not all there to be copied.
    """
    if not path.is_file():
        raise TrainingError(f"{path} is not a file; give the path of .safetensors or .pth weights")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content: object = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise TrainingError(
            f"{path} is not a file of tensors alone, and nothing else is read, since it could run "
            "any code; where it was made, save model.state_dict() and give that"
        ) from error
    except Exception as error:
        # Damage raises all kinds (SafetensorError, RuntimeError, AssertionError, IndexError,
        # struct.error, …), and they mean the same.
        reason = first_line(error)
        raise TrainingError(
            f"{path} cannot be read as weights ({reason}); copy or download it again"
        ) from error
    tensors = _tensors_in(content)
    if not tensors:
        raise TrainingError(
            f"{path} holds no tensors by name; save model.state_dict() with torch.save and give "
            "that"
        )
    for name, tensor in tensors.items():
        kind = _unusual(tensor)
        if kind is not None:
            raise TrainingError(
                f"{path} cannot be read as weights: its tensor {name} is {kind}; where it was "
                "made, save model.state_dict() of a model whose weights are dense and not quantised"
            )
    return tensors


def _unusual(tensor: torch.Tensor) -> str | None:
    """What keeps a tensor's values from being copied into another's; None if nothing does."""
    if tensor.is_quantized:
        return "quantised"
    if tensor.is_meta:
        return "on the meta device, without values"
    if tensor.is_nested:
        return "nested"
    return None if tensor.layout == torch.strided else "sparse"


def _tensors_in(content: object, deepest: int = _WRAPPED_DEEPEST) -> dict[str, torch.Tensor]:
    """Those under a customary key or those that stand loose: whichever have the most values.

    Figures may stand beside the weights, as tensors of one value. Not endlessly deep: a dictionary
    may be its own content.
    """
    if not isinstance(content, dict):
        return {}
    loose = {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }
    wrapped = [_tensors_in(content.get(key), deepest - 1) for key in _WRAPPERS if deepest]
    return max([*wrapped, loose], key=_values)


def _values(tensors: dict[str, torch.Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors.values())
