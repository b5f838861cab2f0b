"""Lake's one-shot runs, in the files he published them in.

`all_runs` of github.com/brendenlake/omniglot (python/one-shot-classification): folders `run01` to
`run20`, each with `class_labels.txt`, whose lines name a test image and the training image of its
class: `run01/test/item01.png run01/training/class03.png`.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from model_store.network import SiameseNetwork, Side
from training.data.folders import ImageClass, ImageFolder, Item
from training.data.sources import Source, open_source
from training.embedding import EmbeddedFolder, embed_folder
from training.errors import DataError
from training.evaluation.figures import OmniglotRunsFigures
from training.evaluation.intervals import bootstrap_mean
from training.evaluation.metrics import alike
from training.evaluation.scoring import score_matrix

LABELS = "class_labels.txt"


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        name: Of its folder.
        queries: Keys of the test images.
        answers: Keys of the training images of their classes, in the same order.
        candidates: Keys of all training images.
    """

    name: str
    queries: tuple[str, ...]
    answers: tuple[str, ...]

    @property
    def candidates(self) -> tuple[str, ...]:
        """The training images, each once."""
        return tuple(sorted(set(self.answers)))


def open_runs(path: Path) -> tuple[Source, list[Run]]:
    """Finds the runs in a folder or a zip archive.

    Raises:
        DataError: There is none, or a `class_labels.txt` is not in the expected form.
    """
    source = open_source(path)
    found = [PurePosixPath(key) for key in source.listing().files]
    labels = [key for key in found if key.name == LABELS and len(key.parts) > 1]
    if not labels:
        raise DataError(
            f"{path} holds no run01/{LABELS}; give the folder all_runs of Lake's one-shot "
            "classification, or a zip of it"
        )
    return source, [_read_run(source, key) for key in labels]


def omniglot_runs(
    path: Path, network: SiameseNetwork, *, device: torch.device | str = "cpu", seed: int = 0
) -> OmniglotRunsFigures:
    """Answers every test image of every run by its most alike training image.

    Args:
        path: The folder of the runs.
        network: What embeds and compares.
        device: Where it runs.
        seed: Of the interval.

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
    rows = {item.key: row for row, item in enumerate(queries.folder.items)}
    columns = {item.key: column for column, item in enumerate(candidates.folder.items)}
    hits = {}
    for run in runs:
        scores = alike(
            score_matrix(
                network,
                queries.embeddings[[rows[key] for key in run.queries]],
                candidates.embeddings[[columns[key] for key in run.candidates]],
            ),
            network.comparator.metric,
        )
        hits[run.name] = [
            _best(dict(zip(run.candidates, row, strict=True))) == wanted
            for row, wanted in zip(scores, run.answers, strict=True)
        ]
    flat = np.concatenate(list(hits.values()))
    units = np.repeat(np.arange(len(runs)), [len(hit) for hit in hits.values()])
    return OmniglotRunsFigures(
        trials=len(flat),
        runs=len(runs),
        accuracy=float(flat.mean()),
        interval=bootstrap_mean(flat, units, seed=seed),
        accuracy_by_run={name: float(np.mean(hit)) for name, hit in hits.items()},
        seed=seed,
    )


def _best(scores: dict[str, float]) -> str | None:
    """The candidate that beats all others; none on a tie."""
    highest = max(scores.values())
    winners = [key for key, score in scores.items() if score == highest]
    return winners[0] if len(winners) == 1 else None


def _read_run(source: Source, key: PurePosixPath) -> Run:
    where = f"{source.path / key}"
    # Paths in the file begin at the folder that holds the runs.
    base = key.parent.parent
    queries, answers = [], []
    try:
        lines = source.read(str(key)).decode().splitlines()
    except (DataError, UnicodeDecodeError) as error:
        raise DataError(f"{where}: {error}; fetch the runs again") from error
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or any({"..", "/"} & {*PurePosixPath(word).parts} for word in words):
            raise DataError(
                f"{where}, line {number}: expected 'run01/test/item01.png "
                f"run01/training/class01.png', found '{line}'"
            )
        queries.append(str(base / words[0]))
        answers.append(str(base / words[1]))
    if len(set(answers)) < 2:
        raise DataError(f"{where} names fewer than two training images; fetch the runs again")
    return Run(key.parent.name, tuple(queries), tuple(answers))


def _embed(
    network: SiameseNetwork,
    source: Source,
    keys: set[str],
    device: torch.device | str,
    side: Side = Side.LEFT,
) -> EmbeddedFolder:
    folder = ImageFolder(
        source, (ImageClass("all"),), tuple(Item(key, label=0) for key in sorted(keys))
    )
    embedded = embed_folder(network, folder, device=device, side=side)
    if embedded.skipped:
        first = embedded.skipped[0]
        raise DataError(
            f"{source.path / first.key}: {first.reason}; a run counts only with all its images"
        )
    return embedded
