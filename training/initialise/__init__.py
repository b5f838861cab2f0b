"""The weights a training starts from: drawn, from ImageNet, from a file, or from a model."""

from training.initialise.initialise import Origin, StartReport, open_origin
from training.initialise.learnt import start_learnt, told_by_recipe
from training.initialise.matching import Match, fill
from training.initialise.shipped import is_shipped, shipped_model
from training.initialise.whitening import (
    MOST_IMAGES,
    check_whitening,
    set_whitened,
    whiten,
)

__all__ = [
    "MOST_IMAGES",
    "Match",
    "Origin",
    "StartReport",
    "check_whitening",
    "fill",
    "is_shipped",
    "open_origin",
    "set_whitened",
    "shipped_model",
    "start_learnt",
    "told_by_recipe",
    "whiten",
]
