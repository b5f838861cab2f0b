"""How queries are answered: each one's best candidate of its class against the best of another."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.metric import Metric
from training.evaluation.metrics import Floats, Indices, alike

Flags = npt.NDArray[np.bool_]

NONE = -1
"""Stands for the row of a candidate that is not there."""


@dataclass(frozen=True)
class Answers:
    """One entry a query; images by their rows.

    Attributes:
        metric: What the scores mean.
        query: int64 (Q,), among the queries.
        right: int64 (Q,), the candidate of the query's class that is most alike to it.
        wrong: int64 (Q,), the candidate of another class that is; `NONE` where there is none.
        right_score: Float64 (Q,), in the metric's own unit and direction.
        wrong_score: Float64 (Q,), likewise; the least alike infinity where there is none.
    """

    metric: Metric
    query: Indices
    right: Indices
    wrong: Indices
    right_score: Floats
    wrong_score: Floats

    def lead(self) -> Floats:
        """Float64 (Q,): by how much the right candidate is more alike; 0 or less is a mistake."""
        return alike(self.right_score, self.metric) - alike(self.wrong_score, self.metric)

    @staticmethod
    def of(metric: Metric, entries: list[tuple[int, int, int, float, float]]) -> "Answers":
        """From (query, right, wrong, right score, wrong score) of each query."""
        table = np.array(entries, dtype=np.float64).reshape(-1, 5)
        rows = table[:, :3].astype(np.int64)
        return Answers(metric, rows[:, 0], rows[:, 1], rows[:, 2], table[:, 3], table[:, 4])


def best_of(scores: Floats, same: Flags, among: Indices) -> tuple[int, int]:
    """The best candidate of the query's class, and the best of another.

    Args:
        scores: Float (C,), higher is alike.
        same: Bool (C,), which candidates are of the query's class.
        among: int64 (K,), the candidates that may be taken; at least one is of the class.

    Returns:
        Right and wrong; `NONE` for a wrong one where all are of the class.
    """
    ours, others = among[same[among]], among[~same[among]]
    right = int(ours[np.argmax(scores[ours])])
    wrong = int(others[np.argmax(scores[others])]) if len(others) else NONE
    return right, wrong
