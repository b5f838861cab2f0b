"""How far apart a network puts images: of one class, of two, and all of them together."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from training.evaluation.pool import Pairs

_PAIRS = 2_000


@dataclass(frozen=True)
class Closeness:
    """Where embeddings lie.

    Attributes:
        genuine_distance: Mean Euclidean distance of two embeddings of one class, ≥ 0.
        impostor_distance: Mean Euclidean distance of two embeddings of two classes, ≥ 0.
        spread: Of the embeddings at unit length: √Σ_j Var_j over the dimensions j, in [0, 1].
            0 where they are all the same, 1 where their mean is 0. (Chen, He 2021, arXiv
            2011.10566, figure 2, look at the standard deviation in the same way.)
        cosine: Mean cosine of two embeddings, in [−1, 1]; 1 where they are all the same.
    """

    genuine_distance: float
    impostor_distance: float
    spread: float
    cosine: float


def measure(
    left: torch.Tensor, right: torch.Tensor | None, genuine: Pairs, impostor: Pairs
) -> Closeness:
    """Measures embeddings.

    Args:
        left: float32 (N, dimension), images as the first of a pair.
        right: float32 (M, dimension), as the second; None where both are the same. The narrower
            of the two sides counts, as it is enough for a collapse.
        genuine: Pairs of one class, rows of the two; 2,000 of them are looked at.
        impostor: Pairs of two classes, likewise.
    """
    sides = [_spread_and_cosine(side) for side in (left, right) if side is not None]
    other = left if right is None else right
    return Closeness(
        genuine_distance=_mean_distance(left, other, genuine),
        impostor_distance=_mean_distance(left, other, impostor),
        spread=min(spread for spread, _ in sides),
        cosine=max(cosine for _, cosine in sides),
    )


def _spread_and_cosine(embeddings: torch.Tensor) -> tuple[float, float]:
    # In double precision: what is left of a collapsed spread lies below what float32 resolves.
    unit = functional.normalize(embeddings.double(), dim=-1)
    count = len(unit)
    spread = (unit - unit.mean(0)).square().sum(1).mean().sqrt()
    total = unit.sum(0).square().sum() - unit.square().sum()
    return float(spread), float(total / max(count * (count - 1), 1))


def _mean_distance(left: torch.Tensor, right: torch.Tensor, pairs: Pairs) -> float:
    some = np.unique(np.linspace(0, len(pairs.left) - 1, _PAIRS).astype(np.int64))
    rows, columns = torch.from_numpy(pairs.left[some]), torch.from_numpy(pairs.right[some])
    return float((left[rows] - right[columns]).norm(dim=1).mean())
