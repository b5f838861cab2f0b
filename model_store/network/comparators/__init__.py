"""Comparators by name. A new one is one new file and one line here."""

from collections.abc import Callable

from model_store.network.comparators.absolute_difference import AbsoluteDifferenceSigmoid
from model_store.network.comparators.base import Comparator, SigmoidComparator
from model_store.network.comparators.cosine import Cosine
from model_store.network.comparators.euclidean import Euclidean
from model_store.network.comparators.exponential import ExponentialL1
from model_store.network.comparators.signed_difference import SignedDifferenceSigmoid

COMPARATORS: dict[str, Callable[..., Comparator]] = {
    "absolute-difference-sigmoid": AbsoluteDifferenceSigmoid,
    "cosine": Cosine,
    "euclidean": Euclidean,
    "exponential-l1": ExponentialL1,
    "signed-difference-sigmoid": SignedDifferenceSigmoid,
}

__all__ = ["COMPARATORS", "Comparator", "SigmoidComparator"]
