"""Choosing how to train on a folder that nobody chose a recipe for: by looking, and by trying."""

from training.automatic.choosing import USUAL, Chosen, choose

__all__ = ["USUAL", "Chosen", "choose"]
