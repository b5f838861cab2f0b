"""One-shot classification: N candidates with one image each, and a query."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from model_store.network import SiameseNetwork
from training.embedding import EmbeddedFolder
from training.evaluation.episodes import Episode, EpisodeTable
from training.evaluation.figures import OneShotFigures
from training.evaluation.intervals import bootstrap_mean
from training.evaluation.metrics import Floats, alike
from training.evaluation.pool import Pairs
from training.evaluation.scoring import score_pairs

WAYS = 20
TRIALS = 20_000

# Scores of one pass.
_BLOCK = 1_000_000


def one_shot(
    embedded: EmbeddedFolder,
    network: SiameseNetwork,
    *,
    candidates: EmbeddedFolder | None = None,
    ways: int = WAYS,
    trials: int = TRIALS,
    seed: int = 0,
) -> OneShotFigures:
    """Draws episodes and answers every query by its most alike candidate.

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
    hits = answers(network, embedded.embeddings, right, episodes)
    flat = np.concatenate(hits)
    sizes = [len(hit) for hit in hits]
    groups = np.repeat([episode.group for episode in episodes], sizes)
    names = embedded.folder.group_names
    return OneShotFigures(
        trials=len(flat),
        episodes=len(episodes),
        ways=ways,
        fewest_ways=min(sizes),
        groups=len(table.groups),
        drawers=table.drawers is not None,
        accuracy=float(flat.mean()),
        interval=bootstrap_mean(flat, np.repeat(np.arange(len(hits)), sizes), seed=seed),
        accuracy_by_group={
            names[group]: float(flat[groups == group].mean())
            for group in sorted(set(groups.tolist()))
            if len(table.groups) > 1
        },
        seed=seed,
    )


def answers(
    network: SiameseNetwork,
    queries: torch.Tensor,
    candidates: torch.Tensor,
    episodes: Sequence[Episode],
) -> list[npt.NDArray[np.bool_]]:
    """Which queries of each episode are answered rightly; a tie counts as wrong.

    Args:
        network: Its comparator scores.
        queries: float32 (N, dimension), the rows that `Episode.queries` speaks of.
        candidates: float32 (M, dimension), the rows that `Episode.candidates` speaks of.
        episodes: At least one.

    Returns:
        For each episode bool (queries,).
    """
    found: list[npt.NDArray[np.bool_]] = []
    waiting: list[Episode] = []
    pending = 0
    for position, episode in enumerate(episodes, 1):
        waiting.append(episode)
        pending += len(episode.queries) * len(episode.candidates)
        if pending >= _BLOCK or position == len(episodes):
            found += _answer_block(network, queries, candidates, waiting)
            waiting, pending = [], 0
    return found


def _answer_block(
    network: SiameseNetwork,
    queries: torch.Tensor,
    candidates: torch.Tensor,
    episodes: Sequence[Episode],
) -> list[npt.NDArray[np.bool_]]:
    left = [np.repeat(episode.queries, len(episode.candidates)) for episode in episodes]
    right = [np.tile(episode.candidates, len(episode.queries)) for episode in episodes]
    pairs = Pairs(np.concatenate(left), np.concatenate(right))
    scores = alike(score_pairs(network, queries, candidates, pairs), network.comparator.metric)
    parts = np.split(scores, np.cumsum([len(part) for part in left])[:-1])
    return [
        _right(part.reshape(len(e.queries), -1)) for part, e in zip(parts, episodes, strict=True)
    ]


def _right(scores: Floats) -> npt.NDArray[np.bool_]:
    """For float (N, N), higher being alike: whether the diagonal beats the rest of its row."""
    own = scores.diagonal().copy()
    others = scores.copy()
    np.fill_diagonal(others, -np.inf)
    return np.asarray(own > others.max(axis=1))
