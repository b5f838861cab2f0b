"""Whether an engine computes what the network does: its features of the probe's pictures."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.inference.engines.base import Engine
from app.inference.errors import InferenceError
from model_store.probe import Probe


class EngineDisagrees(InferenceError):
    """An engine's features are too far from the network's."""


@dataclass(frozen=True)
class Bound:
    """How far features may be from PyTorch's in float32, on the pictures of a probe.

    Attributes:
        mean: Least cosine in the mean over the pictures.
        worst: Least cosine of any picture.
        length: Most that a vector's length may differ, as a part of it.
    """

    mean: float
    worst: float
    length: float


BOUNDS: Mapping[str, Bound] = {
    "float32": Bound(mean=0.99999, worst=0.9999, length=0.001),
    "float16": Bound(mean=0.9999, worst=0.9995, length=0.005),
    # EfficientNet-Lite0, with its narrow depthwise layers, is the hardest of the backbones here:
    # 0.9997 on the drawn pictures in the mean and at worst, 0.9997 and 0.9989 on photos; in int8
    # 0.9988 and 0.9985, 0.9977 and 0.9870.
    "bfloat16": Bound(mean=0.998, worst=0.995, length=0.03),
    "int8": Bound(mean=0.995, worst=0.99, length=0.04),
}
"""By precision."""


@dataclass(frozen=True)
class Agreement:
    """What was found.

    Attributes:
        mean: Cosine in the mean.
        worst: Cosine at worst.
        length: The largest difference in length, as a part of it.
    """

    mean: float
    worst: float
    length: float


def check(engine: Engine, probe: Probe) -> Agreement:
    """Holds an engine against what the network made of known pictures.

    The first picture is also embedded alone, because engines take other ways for other batch sizes.

    Args:
        engine: What is checked, by the bound of its precision.
        probe: The pictures, and what is expected of them.

    Returns:
        What was found, over all sides.

    Raises:
        EngineDisagrees: It is beyond the bound.
    """
    cosines, lengths = [], []
    for side, features in probe.features.items():
        wanted = np.concatenate([features, features[:1]]).astype(np.float64)
        found = np.concatenate(
            [engine.features(probe.images, side), engine.features(probe.images[:1], side)]
        ).astype(np.float64)
        if found.shape != wanted.shape:
            raise EngineDisagrees(
                f"{engine.name} on {engine.device} gives features of shape {found.shape} and not "
                f"{wanted.shape}"
            )
        cosine, length = compare(found, wanted)
        cosines.append(cosine)
        lengths.append(length)
    agreement = Agreement(float(np.mean(cosines)), float(np.min(cosines)), float(np.max(lengths)))
    bound = BOUNDS[engine.precision]
    # Written so that a NaN fails.
    if not (
        agreement.mean >= bound.mean
        and agreement.worst >= bound.worst
        and agreement.length <= bound.length
    ):
        raise EngineDisagrees(
            f"{engine.name} on {engine.device} in {engine.precision} computes other features than "
            f"PyTorch {probe.torch} in float32: cosine {agreement.mean:.5f} in the mean and "
            f"{agreement.worst:.5f} at worst on drawn pictures, lengths off by "
            f"{agreement.length:.1%}; at least {bound.mean} and {bound.worst}, and at most "
            f"{bound.length:.1%}, are wanted"
        )
    return agreement


def compare(
    found: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Cosine and relative difference in length, row by row; two rows of zeros are alike."""
    norms = np.linalg.norm(found, axis=1), np.linalg.norm(wanted, axis=1)
    nothing = (norms[0] == 0) & (norms[1] == 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = (found * wanted).sum(axis=1) / (norms[0] * norms[1])
        length = np.abs(norms[0] / norms[1] - 1)
    return np.where(nothing, 1.0, cosine), np.where(nothing, 0.0, length)
