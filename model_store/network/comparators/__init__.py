"""Comparators by name. A new one is one new file and one line here."""

from collections.abc import Callable

from model_store.network.comparators.absolute_difference import AbsoluteDifferenceSigmoid
from model_store.network.comparators.base import Comparator, SigmoidComparator
from model_store.network.comparators.cosine import Cosine
from model_store.network.comparators.euclidean import Euclidean

COMPARATORS: dict[str, Callable[..., Comparator]] = {
    "absolute-difference-sigmoid": AbsoluteDifferenceSigmoid,
    "cosine": Cosine,
    "euclidean": Euclidean,
}

__all__ = ["COMPARATORS", "Comparator", "SigmoidComparator"]
