"""One-shot episodes: which images are candidates and which are queries.

After Lake, Salakhutdinov, Tenenbaum, Science 350 (2015): an episode takes characters of one
alphabet; one drawer's images are the candidates, another's the queries.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from training.data.by_class import rows_by_class
from training.data.folders import ImageFolder
from training.errors import DataError
from training.evaluation.metrics import Indices

# Omniglot's file names: <character>_<drawer>.
_DRAWER = re.compile(r"^\d+_(\d+)$")


@dataclass(frozen=True)
class Episode:
    """Candidates and queries; the n-th query is of the n-th candidate's class.

    Attributes:
        group: Index of the group they are from.
        candidates: int64 (ways,), positions of items of the folder.
        queries: int64 (ways,), of other items.
    """

    group: int
    candidates: Indices
    queries: Indices


@dataclass(frozen=True)
class EpisodeTable:
    """What episodes are drawn from.

    Attributes:
        ways: Candidates that an episode has, where the group has as many classes.
        groups: By group, the labels of its classes that have two images or more. Groups with
            fewer than `ways` of them are left out, unless no group has as many.
        items: By label, the positions of its items.
        drawers: By label, the item that each drawer drew; None unless the file names tell, and
            any classes of a group have two drawers in common.
    """

    ways: int
    groups: dict[int, Indices]
    items: dict[int, Indices]
    drawers: dict[int, dict[str, int]] | None

    @staticmethod
    def of(folder: ImageFolder, ways: int) -> "EpisodeTable":
        """The table of a folder.

        Raises:
            DataError: No group has two classes with two images.
        """
        groups = _playable(folder)
        if not groups:
            raise DataError(
                f"{folder.source} has no two classes (of one group) with two images each, which "
                "one-shot trials need; give more images a class"
            )
        items = rows_by_class(folder.labels)
        enough = {group: labels for group, labels in groups.items() if len(labels) >= ways}
        groups = enough or groups
        return EpisodeTable(ways, groups, items, _drawers(folder, groups, items))

    def draw(self, generator: np.random.Generator) -> Episode:
        """Draws a group (each as likely), classes of it, and two images of each class."""
        group = int(generator.choice(list(self.groups)))
        labels = self.groups[group]
        chosen = generator.choice(labels, min(self.ways, len(labels)), replace=False)
        if self.drawers is None:
            both = np.array([generator.choice(self.items[label], 2, False) for label in chosen])
        else:
            drawings = [self.drawers[int(label)] for label in chosen]
            common = sorted(set.intersection(*(set(drawing) for drawing in drawings)))
            first, second = generator.choice(common, 2, replace=False)
            both = np.array([(drawing[first], drawing[second]) for drawing in drawings])
        return Episode(group, both[:, 0], both[:, 1])


def can_draw(folder: ImageFolder) -> bool:
    """Whether some group has two classes with two images."""
    return bool(_playable(folder))


def _playable(folder: ImageFolder) -> dict[int, Indices]:
    """By group, the classes that have two images, where there are two of them."""
    usable = np.flatnonzero(np.bincount(folder.labels, minlength=len(folder.classes)) > 1)
    groups = {
        int(group): usable[folder.groups[usable] == group]
        for group in np.unique(folder.groups[usable])
    }
    return {group: labels for group, labels in groups.items() if len(labels) > 1}


def _drawers(
    folder: ImageFolder, groups: dict[int, Indices], items: dict[int, Indices]
) -> dict[int, dict[str, int]] | None:
    drawers: dict[int, dict[str, int]] = {}
    for labels in groups.values():
        common: set[str] | None = None
        for label in labels.tolist():
            found = [
                _DRAWER.match(PurePosixPath(folder.items[item].key).stem) for item in items[label]
            ]
            names = [match.group(1) for match in found if match]
            if len(set(names)) < len(found):
                return None
            drawers[label] = dict(zip(names, items[label].tolist(), strict=True))
            common = set(names) if common is None else common & set(names)
        if common is None or len(common) < 2:
            return None
    return drawers
