"""The weights a training starts from: drawn, from ImageNet, from a file, or from a model."""

from training.initialise.initialise import Origin, StartReport, open_origin
from training.initialise.matching import Match, fill

__all__ = ["Match", "Origin", "StartReport", "fill", "open_origin"]
