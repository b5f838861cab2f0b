"""The images a network learns from, as the samplers number them."""

import numpy as np
import numpy.typing as npt
import torch

from training.data.batch import Batch
from training.data.folders import ImageFolder
from training.data.pixels import Pixels
from training.data.sampling import ClassTable, Draw
from training.data.sources import Skipped

Integers = npt.NDArray[np.int64]

_TURNS = 4


class TrainingSet:
    """Prepared images with their classes; on demand every class four times, by quarter turns.

    A character turned by 90° is as good a character as any: turned classes are classes of their
    own (Santoro et al. 2016, arXiv 1605.06065, section 4.2). Turn r of image i has the number
    4·i + r, and its class and group are numbered likewise.

    Args:
        pixels: The images.
        turned_classes: Whether each class counts four times.

    Attributes:
        table: The classes to draw from.
        groups: int64 tensor (classes,), the group of every class.
    """

    def __init__(self, pixels: Pixels, *, turned_classes: bool) -> None:
        self._pixels = pixels
        self._turns = _TURNS if turned_classes else 1
        folder = pixels.folder
        self._on_right = folder.on_right if folder.two_sided else None
        self.table = class_table(folder, turned_classes=turned_classes)
        self.groups = torch.from_numpy(self.table.groups)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """The images found so far that cannot be decoded, with reasons."""
        return self._pixels.skipped

    def on_right(self, indices: Integers) -> torch.Tensor | None:
        """Bool (N,), whether images are on the right side; None where sides are of no account."""
        if self._on_right is None:
            return None
        return torch.from_numpy(self._on_right[indices // self._turns])

    def images(self, indices: Integers) -> torch.Tensor:
        """Prepared images, turned as their numbers say.

        Args:
            indices: (N,), below the number of images times the number of turns.

        Returns:
            uint8 (N, height, width, channels).
        """
        images = self._pixels.take(indices // self._turns)
        turns = torch.from_numpy(indices % self._turns)
        for turn in range(1, self._turns):
            rows = torch.nonzero(turns == turn).flatten().to(images.device, non_blocking=True)
            images[rows] = torch.rot90(images[rows], turn, (1, 2))
        return images

    def batch(self, draw: Draw, images: torch.Tensor, progress: float) -> Batch:
        """What a sampler drew, with all that is known of it.

        Args:
            draw: The images' numbers, and their pairs where those were drawn.
            images: These images, as `Batch` has them.
            progress: As `Batch` has it.
        """
        labels = torch.from_numpy(self.table.labels[draw.indices])
        return Batch(
            images=images,
            labels=labels,
            groups=self.groups[labels],
            pairs=None if draw.pairs is None else torch.from_numpy(draw.pairs),
            same=None if draw.same is None else torch.from_numpy(draw.same).to(torch.float32),
            on_right=self.on_right(draw.indices),
            progress=progress,
        )


def class_table(folder: ImageFolder, *, turned_classes: bool) -> ClassTable:
    """The classes to draw from, numbered as a `TrainingSet` numbers them.

    Args:
        folder: The images.
        turned_classes: Whether each class counts four times.
    """
    turns = _TURNS if turned_classes else 1
    return ClassTable(
        _each_turn(folder.labels, turns),
        _each_turn(folder.groups, turns),
        np.repeat(folder.on_right, turns) if folder.two_sided else None,
    )


def _each_turn(numbers: Integers, turns: int) -> Integers:
    turned: Integers = (numbers[:, None] * turns + np.arange(turns, dtype=np.int64)).reshape(-1)
    return turned
