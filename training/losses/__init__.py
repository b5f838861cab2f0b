"""Losses by name. A new one is one new file and one line here."""

from collections.abc import Callable

from training.losses.base import Loss
from training.losses.binary_cross_entropy import BinaryCrossEntropy
from training.losses.cosine_softmax import CosineSoftmax
from training.losses.prototypical import Prototypical

LOSSES: dict[str, Callable[..., Loss]] = {
    "binary-cross-entropy": BinaryCrossEntropy,
    "cosine-softmax": CosineSoftmax,
    "prototypical": Prototypical,
}

__all__ = ["LOSSES", "Loss"]
