"""Pairs of all classes, each scored by a projection that neither of its classes had a part in.

Where all that is fitted to a user's images is a projection in closed form, it can be fitted again
in a second. Then no class need be kept for calibration alone: a few classes at a time are left out,
the projection is fitted to the others, and the pairs of those left out are scored; and so on until
most had their turn (cross-validation: Stone 1974, Journal of the Royal Statistical Society B 36).
As many are left out as the model itself is fitted without, so that what calibrates it scores as it
does. Where images have sides, pairs are of a left and a right one, as the model will be asked for.

A few classes kept aside decide a threshold by the accident of which two of them look alike: at that
for 1 % false accepts, other classes had 3 % in the mean where six of forty were kept, and 10 %
where three of twenty were (training/experiments.md).
"""

from training.crossing.conditions import can_cross, check_crossing, starts_unseen
from training.crossing.projections import cross_pairs
from training.crossing.turns import Crossed, crossed

__all__ = [
    "Crossed",
    "can_cross",
    "check_crossing",
    "cross_pairs",
    "crossed",
    "starts_unseen",
]
