"""The pictures that belong to scored pairs, by the names of their files."""

from model_store.calibration import Calibration
from training.data.folders import ImageFolder
from training.evaluation.metrics import OperatingPoint, Ranking, Roc, alike, rates_at
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
    curve, at_threshold = _curve(scored, calibration)
    det = det_png(
        curve,
        subtitle,
        genuine=len(scored.genuine),
        impostor=len(scored.impostor),
        at_threshold=at_threshold,
    )
    return {
        ROC: roc_png(curve, subtitle, at_threshold=at_threshold),
        DET: det,
        SCORES: _histogram(scored, subtitle, calibration),
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
    curve, at_threshold = _curve(scored, calibration)
    sheet = pair_sheet(
        scored, left, right, subtitle, calibration=calibration, count=6, tile_height=104
    )
    return {
        ROC: roc_png(curve, subtitle, at_threshold=at_threshold),
        SCORES: _histogram(scored, subtitle, calibration),
        PAIRS: to_png(sheet, at_most=SMALL),
        **({RELIABILITY: reliability_png(*tested, subtitle)} if tested else {}),
    }


def _curve(
    scored: ScoredPairs, calibration: Calibration | None
) -> tuple[Roc, OperatingPoint | None]:
    genuine, impostor = scored.genuine_alike, scored.impostor_alike
    curve = Ranking(genuine, impostor).roc()
    if calibration is None:
        return curve, None
    threshold = float(alike(calibration.threshold, scored.metric))
    return curve, rates_at(genuine, impostor, threshold)


def _histogram(scored: ScoredPairs, subtitle: str, calibration: Calibration | None) -> bytes:
    threshold = None if calibration is None else calibration.threshold
    return scores_png(scored, subtitle, threshold=threshold)
