"""What the network computes in, and how gradients of half precision keep from vanishing."""

import torch
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from training.errors import TrainingError

_TYPES = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Autocast for the forward pass; for float16, gradients scaled and unscaled.

    Float16 has no numbers between 0 and 6·10⁻⁸, where many gradients are: the loss is multiplied
    by a factor that grows until a gradient overflows, and the step in which one does is left out
    (Micikevicius et al. 2018, arXiv 1710.03740).

    Args:
        choice: `float32`, `bf16`, `fp16`, or `auto` where nobody has settled it
            (`training.learning.faster`): bf16 on a GPU, float32 on a CPU.
        device: Where it is computed.

    Attributes:
        scaler: Holds the factor, which is part of a run's state; None for other than float16.

    Raises:
        TrainingError: The device cannot compute in float16.
    """

    def __init__(self, choice: str, device: torch.device) -> None:
        chosen = choice
        if choice == "auto":
            chosen = "bf16" if device.type == "cuda" else "float32"
        self._device = device.type
        self._type = _TYPES[chosen]
        self.scaler: GradScaler | None = None
        if chosen == "fp16":
            _check_float16(device)
            self.scaler = GradScaler(device.type)

    def autocast(self) -> torch.autocast:
        """The context of a forward pass."""
        return torch.autocast(self._device, dtype=self._type, enabled=self._type is not None)

    def scaled(self, loss: torch.Tensor) -> torch.Tensor:
        """The loss to take gradients of."""
        return loss if self.scaler is None else self.scaler.scale(loss)

    def unscale(self, optimiser: Optimizer) -> None:
        """Undoes the scaling of the gradients that the optimiser's parameters hold."""
        if self.scaler is not None:
            self.scaler.unscale_(optimiser)

    def step(self, optimiser: Optimizer) -> None:
        """Takes the optimiser's step, unless a gradient has overflowed."""
        if self.scaler is None:
            optimiser.step()
        else:
            self.scaler.step(optimiser)
            self.scaler.update()


def _check_float16(device: torch.device) -> None:
    try:
        with torch.autocast(device.type, dtype=torch.float16):
            images = torch.ones(1, 1, 4, 4, device=device)
            weight = torch.ones(1, 1, 3, 3, device=device, requires_grad=True)
            torch.autograd.grad(torch.nn.functional.conv2d(images, weight).sum(), weight)
    except RuntimeError as error:
        raise TrainingError(
            f"PyTorch {torch.__version__} cannot train in float16 on this {device.type} device; "
            "choose --set precision=float32 or bf16, or a GPU"
        ) from error
