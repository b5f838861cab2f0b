"""Which images stand for what a model does worst, as sheets."""

from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from model_store.calibration import Calibration
from model_store.errors import ImageError
from model_store.images import decode
from model_store.metric import Metric
from training.data.folders import ImageFolder, Item
from training.errors import DataError
from training.evaluation.answers import NONE, Answers
from training.evaluation.metrics import Floats
from training.evaluation.pairs import ScoredPairs
from training.evaluation.pool import Pairs
from training.evaluation.worst import worst_answers, worst_genuine, worst_impostors
from training.pictures.sheet import BAD, GOOD, PLAIN, Cell, Colour, Section, Tile, draw_sheet

PAIRS = 8
ANSWERS = 12
_STRANGE = 12


def pair_sheet(
    scored: ScoredPairs,
    left: ImageFolder,
    right: ImageFolder,
    subtitle: str,
    *,
    calibration: Calibration | None = None,
    count: int = PAIRS,
    tile_height: int = 150,
) -> Image.Image:
    """The most alike impostors, and beside them the least alike genuine pairs.

    Args:
        scored: The pairs.
        left: The images that `Pairs.left` speaks of.
        right: The images that `Pairs.right` speaks of.
        subtitle: The model and the data.
        calibration: The model's own, for probabilities and decisions.
        count: Pairs of each kind at most.
        tile_height: As `draw_sheet` takes it.
    """

    def cell(pairs: Pairs, position: int, score: float, *, same: bool) -> Cell:
        tiles = (
            _tile(left, int(pairs.left[position])),
            _tile(right, int(pairs.right[position])),
        )
        return Cell(score_text(score, scored.metric, calibration), tiles, verdict(score, same=same))

    def verdict(score: float, *, same: bool) -> Colour:
        if calibration is None:
            return PLAIN
        return GOOD if bool(calibration.same(score, scored.metric)) == same else BAD

    sections = (
        Section(
            "Impostors that are most alike",
            tuple(
                cell(scored.impostor_pairs, position, float(scored.impostor[position]), same=False)
                for position in worst_impostors(scored, count).tolist()
            ),
        ),
        Section(
            "Genuine pairs that are least alike",
            tuple(
                cell(scored.genuine_pairs, position, float(scored.genuine[position]), same=True)
                for position in worst_genuine(scored, count).tolist()
            ),
        ),
    )
    return draw_sheet("The worst pairs", subtitle, sections, tile_height=tile_height)


def answer_sheet(
    answers: Answers,
    queries: ImageFolder,
    candidates: ImageFolder,
    subtitle: str,
    *,
    count: int = ANSWERS,
) -> Image.Image:
    """The queries that were answered worst: each with the best wrong candidate and the right one.

    Args:
        answers: Of all queries.
        queries: The images that `Answers.query` speaks of.
        candidates: The images that the rest of it speaks of.
        subtitle: The model and the data.
        count: Queries at most.
    """
    lead = answers.lead()
    mistakes = int((lead <= 0).sum())
    cells = []
    for position in worst_answers(answers, count).tolist():
        wrong, right = int(answers.wrong[position]), int(answers.right[position])
        if wrong == NONE:
            continue
        wrong_score = float(answers.wrong_score[position])
        right_score = float(answers.right_score[position])
        mistaken = lead[position] <= 0
        cells.append(
            Cell(
                "wrong" if mistaken else "right, by a little",
                (
                    _tile(queries, int(answers.query[position]), "asked"),
                    _tile(candidates, wrong, f"best wrong: {wrong_score:.4g}"),
                    _tile(candidates, right, f"best right: {right_score:.4g}"),
                ),
                BAD if mistaken else GOOD,
            )
        )
    title = f"The worst answers: {mistakes:,} of {len(lead):,} are wrong"
    section = Section("", tuple(cells), across=2, note="no query has a wrong candidate")
    return draw_sheet(title, subtitle, (section,), tile_height=128)


def strange_sheet(
    typicality: Floats,
    level: float,
    folder: ImageFolder,
    subtitle: str,
) -> Image.Image:
    """The images that are least typical of the model's kind, the strangest first.

    Args:
        typicality: float64 (N,), of each image.
        level: An image is of the model's kind where it is at least so typical.
        folder: The images.
        subtitle: The model and the data.
    """
    order = np.argsort(typicality, kind="stable")[:_STRANGE].tolist()
    cells = tuple(
        Cell(
            f"{typicality[row]:.3g}",
            (_tile(folder, row),),
            BAD if typicality[row] < level else GOOD,
        )
        for row in order
    )
    section = Section("", cells, across=4)
    return draw_sheet("The least typical images", subtitle, (section,), tile_height=128)


def score_text(score: float, metric: Metric, calibration: Calibration | None) -> str:
    """A score in words: its value, and what the calibration makes of it."""
    if calibration is None:
        return f"score {score:.4g}"
    decision = "same" if calibration.same(score, metric) else "different"
    probability = float(calibration.probability(score, metric))
    return f"score {score:.4g} · P(same) {probability:.3f} · {decision}"


def load_image(folder: ImageFolder, item: Item) -> Image.Image | None:
    """An image; None where it cannot be read any more: a sheet rather than a run is to suffer."""
    try:
        return decode(folder.read(item))
    except (DataError, ImageError):
        return None


def _tile(folder: ImageFolder, row: int, role: str = "") -> Tile:
    item = folder.items[row]
    captions = (folder.classes[item.label].name, PurePosixPath(item.key).name)
    return Tile(lambda: load_image(folder, item), (role, *captions) if role else captions)
