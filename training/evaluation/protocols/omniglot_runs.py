"""Lake's one-shot runs: every test image is answered by its most alike training image."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import torch

from model_store.metric import Metric
from model_store.network import SiameseNetwork, Side
from training.data.folders import ImageClass, ImageFolder, Item
from training.data.sources import Files
from training.errors import DataError
from training.evaluation.answers import Answers, best_of
from training.evaluation.embedding import EmbeddedFolder, embed_folder
from training.evaluation.figures import OmniglotRunsFigures
from training.evaluation.intervals import bootstrap_mean, with_exact
from training.evaluation.metrics import Floats, Indices, alike
from training.evaluation.pairs import ScoredPairs
from training.evaluation.pool import Pairs
from training.evaluation.protocols.omniglot_files import Run, open_runs
from training.evaluation.scoring import score_matrix


@dataclass(frozen=True)
class Played:
    """What a network made of the runs.

    Attributes:
        metric: What the scores mean.
        runs: In the order of their names.
        queries: All test images.
        candidates: All training images.
        scores: For each run, Float64 (queries, candidates), in the metric's own unit and direction.
        rows: For each run, int64, the rows of its queries among `queries`.
        columns: Likewise, of its candidates among `candidates`.
        same: For each run, bool (queries, candidates), which candidate is of the query's class.
    """

    metric: Metric
    runs: tuple[Run, ...]
    queries: EmbeddedFolder
    candidates: EmbeddedFolder
    scores: tuple[Floats, ...]
    rows: tuple[Indices, ...]
    columns: tuple[Indices, ...]
    same: tuple[npt.NDArray[np.bool_], ...]

    def pairs(self) -> ScoredPairs:
        """Every test image with every training image of its run, as pairs."""
        left = np.concatenate(
            [np.repeat(r, len(c)) for r, c in zip(self.rows, self.columns, strict=True)]
        )
        right = np.concatenate(
            [np.tile(c, len(r)) for r, c in zip(self.rows, self.columns, strict=True)]
        )
        same = np.concatenate([entry.ravel() for entry in self.same])
        scores = np.concatenate([entry.ravel() for entry in self.scores])
        # A training image stands for its class.
        of = np.zeros(len(self.queries.labels), dtype=np.int64)
        of[left[same]] = right[same]
        return ScoredPairs(
            metric=self.metric,
            genuine=scores[same],
            impostor=scores[~same],
            genuine_class=right[same],
            impostor_classes=np.stack([of[left], right], axis=1)[~same],
            genuine_pairs=Pairs(left[same], right[same]),
            impostor_pairs=Pairs(left[~same], right[~same]),
            images=len(self.queries.labels) + len(self.candidates.labels),
        )

    def answers(self) -> Answers:
        """The right training image and the best wrong one of every test image."""
        entries = []
        for scores, rows, columns, same in zip(
            self.scores, self.rows, self.columns, self.same, strict=True
        ):
            everyone = np.arange(len(columns))
            for query, own, mine in zip(rows.tolist(), scores, same, strict=True):
                right, wrong = best_of(alike(own, self.metric), mine, everyone)
                entries.append(
                    (
                        query,
                        int(columns[right]),
                        int(columns[wrong]),
                        float(own[right]),
                        float(own[wrong]),
                    )
                )
        return Answers.of(self.metric, entries)


def play_runs(path: Path, network: SiameseNetwork, *, device: torch.device | str = "cpu") -> Played:
    """Scores every test image of every run against the run's training images.

    Args:
        path: The folder of the runs.
        network: What embeds and compares.
        device: Where it runs.

    Raises:
        DataError: As `open_runs`; or an image is missing or cannot be decoded.
    """
    source, runs = open_runs(path)
    queries = _embed(network, source, {key for run in runs for key in run.queries}, device)
    candidates = _embed(
        network,
        source,
        {key for run in runs for key in run.answers},
        device,
        side=Side.RIGHT,
    )
    row = {item.key: number for number, item in enumerate(queries.folder.items)}
    column = {item.key: number for number, item in enumerate(candidates.folder.items)}
    rows = [np.array([row[key] for key in run.queries]) for run in runs]
    columns = [np.array([column[key] for key in run.candidates]) for run in runs]
    return Played(
        network.comparator.metric,
        tuple(runs),
        queries,
        candidates,
        tuple(
            score_matrix(network, queries.embeddings[left], candidates.embeddings[right])
            for left, right in zip(rows, columns, strict=True)
        ),
        tuple(rows),
        tuple(columns),
        tuple(np.array(run.answers)[:, None] == np.array(run.candidates)[None] for run in runs),
    )


def omniglot_runs_figures(played: Played, *, seed: int = 0) -> OmniglotRunsFigures:
    """How many test images are answered by their most alike training image; a tie is wrong.

    Args:
        played: The runs.
        seed: Of the interval.
    """
    flat = played.answers().lead() > 0
    units = np.repeat(np.arange(len(played.runs)), [len(run.queries) for run in played.runs])
    return OmniglotRunsFigures(
        trials=len(flat),
        runs=len(played.runs),
        accuracy=float(flat.mean()),
        interval=with_exact(
            bootstrap_mean(flat, units, seed=seed), float(np.mean(flat)), len(flat)
        ),
        accuracy_by_run={
            run.name: float(flat[units == number].mean()) for number, run in enumerate(played.runs)
        },
        seed=seed,
    )


def _embed(
    network: SiameseNetwork,
    source: Files,
    keys: set[str],
    device: torch.device | str,
    side: Side = Side.LEFT,
) -> EmbeddedFolder:
    ordered = sorted(keys)
    parents = [str(PurePosixPath(key).parent) for key in ordered]
    names = sorted(set(parents))
    folder = ImageFolder(
        source,
        tuple(ImageClass(name) for name in names),
        tuple(
            Item(key, label=names.index(parent))
            for key, parent in zip(ordered, parents, strict=True)
        ),
    )
    embedded = embed_folder(network, folder, device=device, side=side)
    if embedded.skipped:
        first = embedded.skipped[0]
        raise DataError(
            f"{source.path / first.shown}: {first.reason}; a run counts only with all its images"
        )
    return embedded
