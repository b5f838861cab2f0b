"""Whether an engine computes what the network says: its features against PyTorch's in float32."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from app.inference.engines.base import Engine, Features, UInt8Batch, sides
from app.inference.engines.probes import probes
from app.inference.errors import InferenceError
from model_store.network import SiameseNetwork, Side


class EngineDisagrees(InferenceError):
    """An engine's features are too far from the network's."""


@dataclass(frozen=True)
class Bound:
    """How far features may be from PyTorch's in float32, on the probes.

    Attributes:
        mean: Least cosine in the mean over the probes.
        worst: Least cosine of any probe.
        length: Most that a vector's length may differ, as a part of it.
    """

    mean: float
    worst: float
    length: float


BOUNDS: Mapping[str, Bound] = {
    "float32": Bound(mean=0.99999, worst=0.9999, length=0.001),
    # EfficientNet-Lite0, with its narrow depthwise layers, is the hardest of the backbones here:
    # 0.9986 and 0.9970 on the drawn pictures, 0.9994 and 0.9988 on photos.
    "bfloat16": Bound(mean=0.998, worst=0.995, length=0.03),
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


def reference(network: SiameseNetwork) -> Mapping[Side, tuple[UInt8Batch, Features]]:
    """The probes, and what the network itself makes of them on the CPU, for each side."""
    images = probes(network.preprocessing)
    with torch.inference_mode():
        return {
            side: (images, network.features(torch.from_numpy(images), side).numpy())
            for side in sides(network)
        }


def check(engine: Engine, expected: Mapping[Side, tuple[UInt8Batch, Features]]) -> Agreement:
    """Holds an engine against the network.

    The last probe is also embedded alone, because engines take other ways for other batch sizes.

    Args:
        engine: What is checked, by the bound of its precision.
        expected: From `reference`.

    Returns:
        What was found, over all sides.

    Raises:
        EngineDisagrees: It is beyond the bound.
    """
    cosines, lengths = [], []
    for side, (images, wanted) in expected.items():
        found = np.concatenate(
            [engine.features(images, side), engine.features(images[-1:], side)]
        ).astype(np.float64)
        compared = np.concatenate([wanted, wanted[-1:]]).astype(np.float64)
        cosine, length = _compare(found, compared)
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
            f"{engine.name} in {engine.precision} computes other features than PyTorch in float32: "
            f"cosine {agreement.mean:.5f} in the mean and {agreement.worst:.5f} at worst on "
            f"drawn pictures, lengths off by {agreement.length:.1%}; at least {bound.mean} and "
            f"{bound.worst}, and at most {bound.length:.1%}, are wanted"
        )
    return agreement


def _compare(
    found: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Cosine and relative difference in length, row by row; two rows of zeros are alike."""
    norms = np.linalg.norm(found, axis=1), np.linalg.norm(wanted, axis=1)
    nothing = (norms[0] == 0) & (norms[1] == 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = (found * wanted).sum(axis=1) / (norms[0] * norms[1])
        length = np.abs(norms[0] / norms[1] - 1)
    return np.where(nothing, 1.0, cosine), np.where(nothing, 0.0, length)
