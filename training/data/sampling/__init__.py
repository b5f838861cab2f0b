"""Samplers by name. A new one is one new file and one line here."""

from training.data.sampling.balanced_pairs import BalancedPairs
from training.data.sampling.base import ClassTable, Draw, Sampler
from training.data.sampling.classes_by_images import ClassesByImages
from training.data.sampling.shuffled import Shuffled

SAMPLERS: dict[str, type[Sampler]] = {
    "balanced-pairs": BalancedPairs,
    "classes-by-images": ClassesByImages,
    "shuffled": Shuffled,
}

__all__ = ["SAMPLERS", "ClassTable", "Draw", "Sampler"]
