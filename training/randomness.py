"""Where every random number of a training run comes from: (seed, stream, step), and nothing else.

No generator lives longer than a step. So a run can be taken up at any step from the step's number
alone, and what one part draws never shifts what another part draws.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """Independent sources of randomness. A number, once used, keeps its meaning."""

    INITIALISATION = 0
    SAMPLING = 1
    AUGMENTATION = 2
    FORWARD = 3
    EPOCH = 4
    VALIDATION = 5
    WHITENING = 6
    CHOICE = 7
    CROSSING = 8


def derived_seed(seed: int, stream: Stream, step: int = 0) -> int:
    """A seed in [0, 2⁶³) for one use at one step.

    Args:
        seed: The run's seed, ≥ 0.
        stream: What the numbers are for.
        step: The step they are for, ≥ 0.
    """
    sequence = np.random.SeedSequence([seed, int(stream), step])
    return int(sequence.generate_state(1, np.uint64)[0]) >> 1


def numpy_generator(seed: int, stream: Stream, step: int = 0) -> np.random.Generator:
    """A NumPy generator for one use at one step."""
    return np.random.default_rng(np.random.SeedSequence([seed, int(stream), step]))


def torch_generator(seed: int, stream: Stream, step: int = 0) -> torch.Generator:
    """A PyTorch generator on the CPU for one use at one step."""
    return torch.Generator().manual_seed(derived_seed(seed, stream, step))


@contextmanager
def seeded(
    seed: int, stream: Stream, step: int = 0, device: torch.device | None = None
) -> Iterator[None]:
    """Within it, PyTorch's own generators (dropout, initialisation) are seeded for this use.

    They are as before on leaving: the caller's random state is not ours to change.

    Args:
        seed: The run's seed.
        stream: What the numbers are for.
        step: The step they are for.
        device: A CUDA device whose generator is wanted too.
    """
    cuda = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(derived_seed(seed, stream, step))
        yield
