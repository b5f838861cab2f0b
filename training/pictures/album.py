"""The pictures that belong to scored pairs, by the names of their files."""

from model_store.calibration import Calibration
from training.data.folders import ImageFolder
from training.evaluation.metrics import Ranking, alike, rates_at
from training.evaluation.pairs import ScoredPairs
from training.pictures.det import det_png
from training.pictures.examples import pair_sheet
from training.pictures.reliability import reliability_png
from training.pictures.roc import roc_png
from training.pictures.scores import scores_png
from training.pictures.sheet import to_png

ROC = "roc.png"
DET = "det.png"
SCORES = "scores.png"
PAIRS = "pairs.png"
RELIABILITY = "reliability.png"

SMALL = 300_000
"""Bytes that a picture in a checkpoint may have."""


def score_pictures(
    scored: ScoredPairs, subtitle: str, *, calibration: Calibration | None = None
) -> dict[str, bytes]:
    """ROC, DET and histogram of scored pairs, as PNG by file name."""
    genuine, impostor = scored.genuine_alike, scored.impostor_alike
    roc = Ranking(genuine, impostor).roc()
    threshold = None if calibration is None else calibration.threshold
    at_threshold = None
    if threshold is not None:
        at_threshold = rates_at(genuine, impostor, float(alike(threshold, scored.metric)))
    return {
        ROC: roc_png(roc, subtitle, at_threshold=at_threshold),
        DET: det_png(
            roc,
            subtitle,
            genuine=len(genuine),
            impostor=len(impostor),
            at_threshold=at_threshold,
        ),
        SCORES: scores_png(scored, subtitle, threshold=threshold),
    }


def small_album(
    scored: ScoredPairs,
    left: ImageFolder,
    right: ImageFolder,
    subtitle: str,
    *,
    calibration: Calibration | None = None,
    tested: tuple[ScoredPairs, Calibration] | None = None,
) -> dict[str, bytes]:
    """What goes into a checkpoint, at most `SMALL` bytes each.

    That is ROC, histogram, worst pairs and, of a calibration that was tested, the reliability
    diagram.

    Args:
        scored: The pairs.
        left: The images that stand left in them.
        right: The images that stand right.
        subtitle: The model and the data.
        calibration: The model's own, if it has one.
        tested: Pairs, and a calibration that has not seen their classes.
    """
    pictures = score_pictures(scored, subtitle, calibration=calibration)
    sheet = pair_sheet(
        scored, left, right, subtitle, calibration=calibration, count=6, tile_height=104
    )
    return {
        ROC: pictures[ROC],
        SCORES: pictures[SCORES],
        PAIRS: to_png(sheet, at_most=SMALL),
        **({RELIABILITY: reliability_png(*tested, subtitle)} if tested else {}),
    }
