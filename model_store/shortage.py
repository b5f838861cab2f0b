"""Telling a want of memory from other errors: of libraries, some say it in words only."""

import torch

_WORDS = ("out of memory", "alloc_failed", "can't allocate memory")
"""Of PyTorch's CPU allocator, cuDNN, cuBLAS and ONNX Runtime."""


def out_of_memory(error: BaseException | None) -> bool:
    """Whether something failed for want of memory, a device's or the machine's."""
    while error is not None:
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
            return True
        text = str(error).lower()
        if isinstance(error, RuntimeError) and any(words in text for words in _WORDS):
            return True
        error = error.__cause__
    return False
