"""Choosing how to train on a folder that nobody chose a recipe for: by looking, and by trying."""

from training.automatic.choosing import FEWEST_CLASSES, USUAL, Chosen, choose

__all__ = ["FEWEST_CLASSES", "USUAL", "Chosen", "choose"]
