"""How typical an image is of those that a model was calibrated on: knowing when not to know.

A picture of another kind (a face shown to a model of characters) gets an embedding and a score all
the same. What gives it away is that its features do not lie where those of the model's own kind
do. `training` fits the description; `app` judges by it. Both through this code.
"""

from model_store.typicality.description import (
    LEAST,
    SideTypicality,
    Typicality,
    combine,
    in_distribution,
    measured,
    tail_share,
)
from model_store.typicality.measures import ClassCentres, Measures, Residuals, Subspace
from model_store.typicality.pixels import Pixels, Statistics, pixel_statistics
from model_store.typicality.stored import TypicalityRecord, from_bytes, record_of, to_bytes

__all__ = [
    "LEAST",
    "ClassCentres",
    "Measures",
    "Pixels",
    "Residuals",
    "SideTypicality",
    "Statistics",
    "Subspace",
    "Typicality",
    "TypicalityRecord",
    "combine",
    "from_bytes",
    "in_distribution",
    "measured",
    "pixel_statistics",
    "record_of",
    "tail_share",
    "to_bytes",
]
