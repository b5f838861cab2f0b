"""Retrieval: which gallery images are most alike to a query?"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.network import SiameseNetwork
from training.errors import DataError
from training.evaluation.answers import NONE, Answers, best_of
from training.evaluation.embedding import EmbeddedFolder
from training.evaluation.figures import RetrievalFigures
from training.evaluation.intervals import Interval, bootstrap_mean, with_exact
from training.evaluation.metrics import Floats, Indices, alike
from training.evaluation.pairs import match_labels, rows_of_itself
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


@dataclass(frozen=True)
class Search:
    """What became of every query that counts.

    Attributes:
        answers: The most alike image of the query's class, and of another; rows of the gallery.
        ranks: In the same order.
        classes: int64 (Q,), the class of each query, likewise.
        excluded: Queries that do not count.
        gallery: Gallery images.
        leave_one_out: Whether queries are in the gallery themselves, each left out of its own.
    """

    answers: Answers
    ranks: tuple[Ranks, ...]
    classes: Indices
    excluded: int
    gallery: int
    leave_one_out: bool


def retrieval(
    embedded: EmbeddedFolder,
    network: SiameseNetwork,
    *,
    gallery: EmbeddedFolder | None = None,
    seed: int = 0,
    on_progress: Callable[[int], None] = lambda _: None,
) -> RetrievalFigures:
    """Ranks the gallery for every query, and says how well; arguments as `search`.

    Args:
        embedded: The queries.
        network: What embedded them.
        gallery: What is searched.
        seed: Of the intervals.
        on_progress: Told how many queries are done.

    Raises:
        DataError: As `search`.
    """
    found = search(embedded, network, gallery=gallery, on_progress=on_progress)
    return retrieval_figures(found, seed=seed)


def search(
    embedded: EmbeddedFolder,
    network: SiameseNetwork,
    *,
    gallery: EmbeddedFolder | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Search:
    """Ranks the gallery for every query, most alike first.

    Args:
        embedded: The queries, on the left side.
        network: What embedded them.
        gallery: What is searched, on the right side, classes matched by name. Without it every
            query searches all other queries. Nor does it find itself where the gallery holds it,
            be that on the right side, or among images that are no queries.
        on_progress: Told how many queries are done, a block at a time.

    Raises:
        DataError: No query has an image of its class to find.
    """
    searched = gallery or embedded
    itself = rows_of_itself(embedded.folder, searched.folder)
    there = match_labels(embedded, searched)
    metric = network.comparator.metric
    ranks: list[Ranks] = []
    entries: list[tuple[int, int, int, float, float]] = []
    rows = max(1, _BLOCK // max(1, len(there)))
    for start in range(0, len(embedded.labels), rows):
        scores = alike(
            score_matrix(network, embedded.embeddings[start : start + rows], searched.embeddings),
            metric,
        )
        for row, own in enumerate(scores, start):
            same = there == embedded.labels[row]
            kept = np.arange(len(there))
            if itself[row] != NONE:
                kept = np.delete(kept, itself[row])
            if not same[kept].any():
                continue
            ranks.append(rank(own[kept], same[kept]))
            right, wrong = best_of(own, same, kept)
            rival = -np.inf if wrong == NONE else own[wrong]
            entries.append(
                (row, right, wrong, float(alike(own[right], metric)), float(alike(rival, metric)))
            )
        on_progress(start + len(scores))
    if not ranks:
        raise DataError(
            f"no image of {embedded.folder.source} has another of its class in "
            f"{searched.folder.source}; classes are matched by the names of their folders"
        )
    answers = Answers.of(metric, entries)
    return Search(
        answers=answers,
        ranks=tuple(ranks),
        classes=embedded.labels[answers.query],
        excluded=len(embedded.labels) - len(ranks),
        gallery=len(there),
        leave_one_out=bool((itself != NONE).any()),
    )


def retrieval_figures(found: Search, *, seed: int = 0) -> RetrievalFigures:
    """The figures of a search; `seed` is of the intervals."""
    first = np.array([entry.first for entry in found.ranks])
    precision = np.array([entry.average_precision for entry in found.ranks])

    def interval(values: npt.NDArray[np.bool_] | Floats) -> Interval:
        drawn = bootstrap_mean(values, found.classes, seed=seed)
        return with_exact(drawn, float(np.mean(values)), len(values))

    return RetrievalFigures(
        queries=len(found.ranks),
        excluded_queries=found.excluded,
        gallery=found.gallery,
        classes=len(np.unique(found.classes)),
        leave_one_out=found.leave_one_out,
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
    found, others = np.sort(-scores[same]), np.sort(-scores[~same])
    number = np.arange(1, len(found) + 1)
    positions = number + np.searchsorted(others, found, side="right")
    precision = number / positions
    return Ranks(int(positions[0]), float(precision.mean()))
