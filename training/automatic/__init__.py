"""Choosing how to train on a folder that nobody chose a recipe for: by looking, and by trying."""

from training.automatic.choosing import USUAL, Chosen, choose, too_few_to_train_on

__all__ = ["USUAL", "Chosen", "choose", "too_few_to_train_on"]
