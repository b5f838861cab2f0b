"""What can go wrong in training, below the errors that `model_store` has already."""

from model_store.errors import TwinlensError


class DataError(TwinlensError):
    """Images or their layout cannot be used; the message names the path and what to do."""


class RecipeError(TwinlensError):
    """A recipe, or an option that overrides one, is not valid or does not suit the data."""


class TrainingError(TwinlensError):
    """A training run cannot begin, or cannot go on."""


class EarlierRunKept(KeyboardInterrupt):
    """An interruption before an earlier run, which was to be thrown away, was."""


LOWER_RATE = "a lower learning rate (--set optimiser.learning_rate=…), or --set clip=1"
"""What may keep a network's values numbers."""


class Derailed(TrainingError):
    """A training has gone wrong in a way that another recipe may mend.

    Args:
        happened: What, to the sign before the advice.
        advice: What to do about a run that `fit` keeps.
        without_a_run: What to do where there is none to begin anew or to go on with.

    Attributes:
        without_a_run: The whole message for there.
    """

    def __init__(self, happened: str, advice: str, *, without_a_run: str) -> None:
        super().__init__(f"{happened}{advice}")
        self.without_a_run = f"{happened}{without_a_run}"

    @classmethod
    def unless(cls, happened: str, change: str) -> "Derailed":
        """One that a change of the recipe may mend, if the training is begun anew with it."""
        return cls(
            happened,
            f"begin anew with --restart and {change}",
            without_a_run=f"change the recipe: {change}",
        )
