"""Losses by name. A new one is one new file and one line here."""

from collections.abc import Callable, Mapping, Sequence

from training.losses.base import Loss
from training.losses.binary_cross_entropy import BinaryCrossEntropy
from training.losses.contrastive import Contrastive
from training.losses.cosine_softmax import CosineSoftmax
from training.losses.prototypical import Prototypical
from training.losses.supervised_contrastive import SupervisedContrastive
from training.losses.total import Total
from training.losses.triplet import TripletMargin, TripletSoftmax
from training.losses.whitened_contrastive import WhitenedContrastive


def _total(dimension: int, classes: int, *, parts: Sequence[Mapping[str, object]]) -> Loss:
    return Total(dimension, classes, LOSSES, parts=parts)


LOSSES: dict[str, Callable[..., Loss]] = {
    "binary-cross-entropy": BinaryCrossEntropy,
    "contrastive": Contrastive,
    "cosine-softmax": CosineSoftmax,
    "prototypical": Prototypical,
    "supervised-contrastive": SupervisedContrastive,
    "total": _total,
    "triplet-margin": TripletMargin,
    "triplet-softmax": TripletSoftmax,
    "whitened-contrastive": WhitenedContrastive,
}

__all__ = ["LOSSES", "Loss"]
