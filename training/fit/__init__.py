"""From a folder of images to a checkpoint in the store, as `python -m training fit` does it."""

from training.fit.along import fit_along
from training.fit.fitting import fit
from training.fit.request import MINUTES, FitRequest

__all__ = ["MINUTES", "FitRequest", "fit", "fit_along"]
