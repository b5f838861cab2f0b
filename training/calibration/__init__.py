"""Fitting what turns a score into a probability and a decision."""

from training.calibration.making import Calibrated, calibrate
from training.calibration.sufficiency import (
    calibration_warnings,
    chance_warnings,
    unpaired_warnings,
)
from training.calibration.typical import Turn, fit_typicality, typicality_warnings

__all__ = [
    "Calibrated",
    "Turn",
    "calibrate",
    "calibration_warnings",
    "chance_warnings",
    "fit_typicality",
    "typicality_warnings",
    "unpaired_warnings",
]
