"""What a model says of two pictures, scored and decided as the service does it."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from model_store.checkpoint import Checkpoint
from model_store.metric import Metric
from model_store.network import Side
from model_store.preprocessing import prepare
from training.evaluation.pool import Pairs
from training.evaluation.scoring import score_pairs


@dataclass(frozen=True)
class Prediction:
    """What a model says of a pair.

    Attributes:
        metric: What the score means.
        score: In the metric's own unit and direction.
        probability: Calibrated P(same); None for a model that is not calibrated.
        same: The decision; None likewise.
        threshold: Where `same` begins; None likewise.
    """

    metric: Metric
    score: float
    probability: float | None
    same: bool | None
    threshold: float | None


def predict(
    checkpoint: Checkpoint,
    left: Image.Image,
    right: Image.Image,
    *,
    device: torch.device | str = "cpu",
) -> Prediction:
    """Compares two pictures.

    Where both sides share weights and the order still matters to the comparator, both orders are
    averaged, as the service does.

    Args:
        checkpoint: The model; its network is moved to the device.
        left: The first picture, upright, mode `RGB` or `L`: that of a two-sided model's left side.
        right: The second.
        device: Where to compute.

    Raises:
        DataError: The score is not a number.
    """
    manifest = checkpoint.manifest
    network = checkpoint.network.to(device).eval()
    with torch.inference_mode():
        embeddings = [
            network.embed(
                torch.from_numpy(prepare(image, manifest.preprocessing)[None]).to(device), side
            ).cpu()
            for image, side in ((left, Side.LEFT), (right, Side.RIGHT))
        ]
    only = Pairs(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
    score = float(score_pairs(network, embeddings[0], embeddings[1], only)[0])
    calibration, metric = manifest.calibration, manifest.metric
    if calibration is None:
        return Prediction(metric, score, None, None, None)
    return Prediction(
        metric,
        score,
        calibration.probability(score, metric),
        calibration.same(score, metric),
        calibration.threshold,
    )
