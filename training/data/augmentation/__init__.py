"""Augmentation policies by name. A new one is one new file and one line here."""

from collections.abc import Callable

from training.data.augmentation.auto_augment import AutoAugment
from training.data.augmentation.base import Augmentation
from training.data.augmentation.glyphs import Glyphs
from training.data.augmentation.jitter import Jitter
from training.data.augmentation.unchanged import Unchanged

AUGMENTATIONS: dict[str, Callable[..., Augmentation]] = {
    "auto-augment": AutoAugment,
    "glyphs": Glyphs,
    "jitter": Jitter,
    "none": Unchanged,
}

__all__ = ["AUGMENTATIONS", "Augmentation"]
