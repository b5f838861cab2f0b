"""Retrieval: which gallery images are most alike to a query?"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.network import SiameseNetwork
from training.embedding import EmbeddedFolder
from training.errors import DataError
from training.evaluation.figures import RetrievalFigures
from training.evaluation.intervals import Interval, bootstrap_mean
from training.evaluation.metrics import Floats, alike
from training.evaluation.pairs import match_labels
from training.evaluation.scoring import score_matrix

# Scores in memory at once.
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Ranks:
    """How one ranking treated its query.

    Attributes:
        first: The rank of the best image of the query's class, from 1; a tie counts against it.
        average_precision: The mean, over images of the class, of the precision at their rank.
    """

    first: int
    average_precision: float


def retrieval(
    embedded: EmbeddedFolder,
    network: SiameseNetwork,
    *,
    gallery: EmbeddedFolder | None = None,
    seed: int = 0,
) -> RetrievalFigures:
    """Ranks the gallery for every query, most alike first.

    Args:
        embedded: The queries, on the left side.
        network: What embedded them.
        gallery: What is searched, on the right side, classes matched by name. Without it every
            query searches all other queries. The same images on the right side are left one out
            likewise.
        seed: Of the intervals.

    Raises:
        DataError: No query has an image of its class to find.
    """
    searched = gallery or embedded
    leave_one_out = gallery is None or (
        gallery.folder.source == embedded.folder.source
        and gallery.folder.items == embedded.folder.items
    )
    there = match_labels(embedded, searched)
    ranks: list[Ranks] = []
    labels: list[int] = []
    rows = max(1, _BLOCK // max(1, len(there)))
    for start in range(0, len(embedded.labels), rows):
        scores = alike(
            score_matrix(network, embedded.embeddings[start : start + rows], searched.embeddings),
            network.comparator.metric,
        )
        for row, own in enumerate(scores, start):
            same = there == embedded.labels[row]
            kept = np.arange(len(there)) != row if leave_one_out else np.ones_like(same)
            if same[kept].any():
                ranks.append(rank(own[kept], same[kept]))
                labels.append(int(embedded.labels[row]))
    if not ranks:
        raise DataError(
            f"no image of {embedded.folder.source} has another of its class in "
            f"{searched.folder.source}; classes are matched by the names of their folders"
        )
    classes = np.array(labels, dtype=np.int64)
    first = np.array([found.first for found in ranks])
    precision = np.array([found.average_precision for found in ranks])

    def interval(values: npt.ArrayLike) -> Interval:
        return bootstrap_mean(values, classes, seed=seed)

    return RetrievalFigures(
        queries=len(ranks),
        excluded_queries=len(embedded.labels) - len(ranks),
        gallery=len(there),
        classes=len(np.unique(classes)),
        leave_one_out=leave_one_out,
        recall_at_1=float(np.mean(first <= 1)),
        recall_at_1_interval=interval(first <= 1),
        recall_at_5=float(np.mean(first <= 5)),
        recall_at_5_interval=interval(first <= 5),
        map=float(precision.mean()),
        map_interval=interval(precision),
        seed=seed,
    )


def rank(scores: Floats, same: npt.NDArray[np.bool_]) -> Ranks:
    """Ranks one query's gallery.

    Args:
        scores: Float (G,), higher is alike.
        same: Bool (G,), which images are of the query's class; at least one.
    """
    order = np.lexsort((same, -scores))
    positions = np.flatnonzero(same[order]) + 1
    precision = np.arange(1, len(positions) + 1) / positions
    return Ranks(int(positions[0]), float(precision.mean()))
