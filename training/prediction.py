"""What a model says of two pictures, scored and decided as the service does it."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from model_store.checkpoint import Checkpoint
from model_store.images import decode_prepared
from model_store.metric import Metric
from model_store.network import Side
from model_store.typicality import in_distribution
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
        typicality: How typical each picture is of the model's own kind, in (0, 1]; None for a model
            that cannot tell.
        level: A picture is of that kind where it is at least so typical; None likewise.
    """

    metric: Metric
    score: float
    probability: float | None
    same: bool | None
    threshold: float | None
    typicality: tuple[float, float] | None = None
    level: float | None = None

    @property
    def in_distribution(self) -> bool | None:
        """Whether both pictures are of the model's own kind; None where that is not known."""
        return in_distribution(self.level, *(self.typicality or ()))


def predict(
    checkpoint: Checkpoint,
    left: bytes,
    right: bytes,
    *,
    device: torch.device | str = "cpu",
) -> Prediction:
    """Compares two pictures.

    Where both sides share weights and the order still matters to the comparator, both orders are
    averaged, as the service does.

    Args:
        checkpoint: The model; its network is moved to the device.
        left: The first picture, as its file has it: that of a two-sided model's left side. A large
            JPEG is decoded at a smaller scale, as the service does, which shows in the third digit.
        right: The second.
        device: Where to compute.

    Raises:
        ImageError: A picture cannot be decoded.
        DataError: The score is not a number.
    """
    manifest = checkpoint.manifest
    network = checkpoint.network.to(device).eval()
    sides = (Side.LEFT, Side.RIGHT)
    with torch.inference_mode():
        images = [decode_prepared(data, manifest.preprocessing)[None] for data in (left, right)]
        features = [
            network.features(torch.from_numpy(image).to(device), side).cpu()
            for image, side in zip(images, sides, strict=True)
        ]
        embeddings = [network.finish(row, side) for row, side in zip(features, sides, strict=True)]
    only = Pairs(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
    score = float(score_pairs(network, embeddings[0], embeddings[1], only)[0])
    found = Prediction(manifest.metric, score, None, None, None)
    calibration, typicality = manifest.calibration, checkpoint.typicality
    if calibration is not None:
        found = replace(
            found,
            probability=float(calibration.probability(score, manifest.metric)),
            same=bool(calibration.same(score, manifest.metric)),
            threshold=calibration.threshold,
        )
    if typicality is not None:
        left_one, right_one = (
            float(typicality.of(row.numpy(), typicality.look(image), side)[0])
            for row, image, side in zip(features, images, sides, strict=True)
        )
        found = replace(found, typicality=(left_one, right_one), level=typicality.level)
    return found
