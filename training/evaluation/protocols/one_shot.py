"""One-shot classification: N candidates with one image each, and a query."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from model_store.metric import Metric
from model_store.network import SiameseNetwork
from training.evaluation.answers import Answers, best_of
from training.evaluation.embedding import EmbeddedFolder
from training.evaluation.episodes import Episode, EpisodeTable, can_draw
from training.evaluation.figures import OneShotFigures
from training.evaluation.intervals import (
    GROUPS_WANTED,
    Interval,
    bootstrap_mean,
    hull,
    with_exact,
)
from training.evaluation.metrics import Floats, Indices, alike
from training.evaluation.pairs import ScoredPairs
from training.evaluation.pool import Pairs
from training.evaluation.scoring import score_pairs

WAYS = 20
TRIALS = 20_000

# Scores of one pass.
_BLOCK = 1_000_000


@dataclass(frozen=True)
class Trials:
    """Episodes and what the network made of them.

    Attributes:
        metric: What the scores mean.
        table: What the episodes were drawn from.
        episodes: In the order they were drawn.
        scores: For each, Float64 (queries, candidates), in the metric's own unit and direction;
            the right candidates are on the diagonal.
        classes: int64 (N,), the classes of the images that the rows of the episodes speak of.
    """

    metric: Metric
    table: EpisodeTable
    episodes: tuple[Episode, ...]
    scores: tuple[Floats, ...]
    classes: Indices

    @cached_property
    def hits(self) -> tuple[npt.NDArray[np.bool_], ...]:
        """For each episode, bool (queries,): which are answered rightly."""
        return tuple(answered(alike(matrix, self.metric)) for matrix in self.scores)

    @property
    def accuracy(self) -> float:
        """The share of queries that are answered rightly."""
        return float(np.concatenate(self.hits).mean())

    def pairs(self) -> ScoredPairs:
        """Every query with every candidate of its episode, as pairs."""
        matrices = zip(self.scores, self.episodes, strict=True)
        left, right, scores, same = (
            np.concatenate(column)
            for column in zip(
                *(
                    (
                        np.repeat(episode.queries, len(episode.candidates)),
                        np.tile(episode.candidates, len(episode.queries)),
                        matrix.ravel(),
                        np.eye(len(matrix), dtype=bool).ravel(),
                    )
                    for matrix, episode in matrices
                ),
                strict=True,
            )
        )
        return ScoredPairs(
            metric=self.metric,
            genuine=scores[same],
            impostor=scores[~same],
            genuine_class=self.classes[left[same]],
            impostor_classes=np.stack([self.classes[left], self.classes[right]], axis=1)[~same],
            genuine_pairs=Pairs(left[same], right[same], "sample"),
            impostor_pairs=Pairs(left[~same], right[~same], "sample"),
            images=len(np.union1d(left, right)),
        )

    def answers(self) -> Answers:
        """The right candidate and the best wrong one of every query."""
        entries = []
        for matrix, episode in zip(self.scores, self.episodes, strict=True):
            turned = alike(matrix, self.metric)
            everyone = np.arange(len(matrix))
            for row, query in enumerate(episode.queries.tolist()):
                right, wrong = best_of(turned[row], everyone == row, everyone)
                candidates = episode.candidates
                entries.append(
                    (
                        query,
                        int(candidates[right]),
                        int(candidates[wrong]),
                        float(matrix[row, right]),
                        float(matrix[row, wrong]),
                    )
                )
        return Answers.of(self.metric, entries)


def can_play(embedded: EmbeddedFolder, candidates: EmbeddedFolder | None) -> bool:
    """Whether trials within groups can be drawn from images that nobody chose for them.

    There must be groups, two classes of one of them with two images each, and the same images on
    both sides: what is drawn are positions, which mean other images in another folder.

    Args:
        embedded: The queries' side.
        candidates: The candidates' side; None if it is the same.
    """
    folder = embedded.folder
    if candidates is not None and candidates.folder.items != folder.items:
        return False
    return len(folder.group_names) > 1 and can_draw(folder)


def one_shot(
    embedded: EmbeddedFolder,
    network: SiameseNetwork,
    *,
    candidates: EmbeddedFolder | None = None,
    ways: int = WAYS,
    trials: int = TRIALS,
    seed: int = 0,
) -> OneShotFigures:
    """Draws episodes and says how many queries are answered rightly; arguments as `play`.

    Args:
        embedded: The queries' side.
        network: What embedded them.
        candidates: The candidates' side.
        ways: Candidates of a query.
        trials: Queries at least.
        seed: Of all draws.

    Raises:
        DataError: As `play`.
    """
    played = play(embedded, network, candidates=candidates, ways=ways, trials=trials, seed=seed)
    return one_shot_figures(played, embedded.folder.group_names, seed=seed)


def play(
    embedded: EmbeddedFolder,
    network: SiameseNetwork,
    *,
    candidates: EmbeddedFolder | None = None,
    ways: int = WAYS,
    trials: int = TRIALS,
    seed: int = 0,
) -> Trials:
    """Draws episodes and scores every query against every candidate of its episode.

    Args:
        embedded: The images, on the left side, where queries stand.
        network: What embedded them.
        candidates: The same images on the right side, where candidates stand; needed only where
            the sides do not share weights.
        ways: Candidates of a query, at least 2.
        trials: Queries at least; whole episodes are drawn.
        seed: Of all draws.

    Raises:
        DataError: No group has two classes with two images.
    """
    table = EpisodeTable.of(embedded.folder, ways)
    generator = np.random.default_rng(seed)
    episodes: list[Episode] = []
    drawn = 0
    while drawn < trials:
        episodes.append(table.draw(generator))
        drawn += len(episodes[-1].queries)
    right = (candidates or embedded).embeddings
    scores = score_episodes(network, embedded.embeddings, right, episodes)
    return Trials(network.comparator.metric, table, tuple(episodes), tuple(scores), embedded.labels)


def one_shot_figures(
    played: Trials, group_names: Sequence[str], *, seed: int = 0
) -> OneShotFigures:
    """The figures of trials.

    Args:
        played: The trials.
        group_names: Of the folder they were drawn from.
        seed: That they were drawn with; also of the intervals.
    """
    flat = np.concatenate(played.hits)
    sizes = [len(hit) for hit in played.hits]
    episode = np.repeat(np.arange(len(sizes)), sizes)
    groups = np.repeat([entry.group for entry in played.episodes], sizes)
    queries = np.concatenate([entry.queries for entry in played.episodes])
    asked = played.classes[queries]

    def interval(part: npt.NDArray[np.bool_]) -> Interval:
        units = [episode, asked]
        # Other alphabets differ more than other characters of these do.
        if len(np.unique(groups[part])) >= GROUPS_WANTED:
            units.append(groups)
        drawn = hull(*(bootstrap_mean(flat[part], unit[part], seed=seed) for unit in units))
        # However many trials are drawn, there are no more images to ask.
        return with_exact(drawn, float(np.mean(flat[part])), len(np.unique(queries[part])))

    by_group = {
        group_names[group]: groups == group
        for group in sorted(set(groups.tolist()))
        if len(played.table.groups) > 1
    }
    return OneShotFigures(
        trials=len(flat),
        episodes=len(sizes),
        ways=max(sizes),
        fewest_ways=min(sizes),
        groups=len(played.table.groups),
        drawers=played.table.drawers is not None,
        accuracy=played.accuracy,
        interval=interval(np.ones(len(flat), dtype=bool)),
        accuracy_by_group={name: float(flat[part].mean()) for name, part in by_group.items()},
        accuracy_by_group_interval={name: interval(part) for name, part in by_group.items()},
        seed=seed,
    )


def score_episodes(
    network: SiameseNetwork,
    queries: torch.Tensor,
    candidates: torch.Tensor,
    episodes: Sequence[Episode],
) -> list[Floats]:
    """Scores every query of each episode against its candidates.

    Args:
        network: Its comparator scores.
        queries: float32 (N, dimension), the rows that `Episode.queries` speaks of.
        candidates: float32 (M, dimension), the rows that `Episode.candidates` speaks of.
        episodes: At least one.

    Returns:
        For each episode Float64 (queries, candidates), in the comparator's metric.
    """
    found: list[Floats] = []
    waiting: list[Episode] = []
    pending = 0
    for position, episode in enumerate(episodes, 1):
        waiting.append(episode)
        pending += len(episode.queries) * len(episode.candidates)
        if pending >= _BLOCK or position == len(episodes):
            found += _score_block(network, queries, candidates, waiting)
            waiting, pending = [], 0
    return found


def _score_block(
    network: SiameseNetwork,
    queries: torch.Tensor,
    candidates: torch.Tensor,
    episodes: Sequence[Episode],
) -> list[Floats]:
    left = [np.repeat(episode.queries, len(episode.candidates)) for episode in episodes]
    right = [np.tile(episode.candidates, len(episode.queries)) for episode in episodes]
    pairs = Pairs(np.concatenate(left), np.concatenate(right))
    scores = score_pairs(network, queries, candidates, pairs)
    parts = np.split(scores, np.cumsum([len(part) for part in left])[:-1])
    return [part.reshape(len(e.queries), -1) for part, e in zip(parts, episodes, strict=True)]


def answered(scores: Floats) -> npt.NDArray[np.bool_]:
    """Which queries are answered rightly; a tie counts as wrong.

    Args:
        scores: Float (N, N), higher is alike, the right candidates on the diagonal.

    Returns:
        Bool (N,): whether the diagonal beats the rest of its row.
    """
    own = scores.diagonal().copy()
    others = scores.copy()
    np.fill_diagonal(others, -np.inf)
    return np.asarray(own > others.max(axis=1))
