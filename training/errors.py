"""What can go wrong in training, below the errors that `model_store` has already."""

from model_store.errors import TwinlensError


class DataError(TwinlensError):
    """Images or their layout cannot be used; the message names the path and what to do."""


class RecipeError(TwinlensError):
    """A recipe, or an option that overrides one, is not valid or does not suit the data."""


class TrainingError(TwinlensError):
    """A training run cannot begin, or cannot go on."""
