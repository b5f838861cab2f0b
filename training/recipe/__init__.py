"""What a training is, as data: a YAML file, checked before anything runs."""

from training.recipe.recipe import Recipe
from training.recipe.sections import DLIB, IMAGENET, Freeze, Guard, Optimiser, Start

__all__ = ["DLIB", "IMAGENET", "Freeze", "Guard", "Optimiser", "Recipe", "Start"]
