"""Figures of merit of scores, exact with ties, weighted or not.

All functions take scores turned so that higher is alike (`alike`). A pair is accepted when its
score reaches the threshold, the threshold included.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.metric import Metric

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

ECE_BINS = 15


def alike(scores: npt.ArrayLike, metric: Metric) -> Floats:
    """Scores turned so that higher is alike; turning twice gives the scores back exactly."""
    values = np.asarray(scores, dtype=np.float64)
    return values if metric.higher_is_alike else -values


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and what it lets through.

    Attributes:
        threshold: Accepted are scores that reach it.
        far: False-accept rate, in [0, 1].
        frr: False-reject rate, in [0, 1].
    """

    threshold: float
    far: float
    frr: float


@dataclass(frozen=True)
class Roc:
    """Error rates at every threshold that makes a difference.

    Attributes:
        thresholds: Float64 (T + 1,), rising: the distinct scores, then +∞.
        far: Of the same shape, never rising, from 1 to 0.
        frr: Of the same shape, never falling, from 0 to 1.
    """

    thresholds: Floats
    far: Floats
    frr: Floats

    def auc(self) -> float:
        """The area under the ROC curve: P(genuine > impostor) + ½ P(equal).

        The trapezoidal area equals the rank statistic of Mann and Whitney, ties included
        (Hanley, McNeil 1982).
        """
        area = np.sum((self.far[:-1] - self.far[1:]) * (2 - self.frr[:-1] - self.frr[1:])) / 2
        # Of some numbers of pairs the rounded steps add up to more than the whole.
        return min(1.0, float(area))

    def eer(self) -> float:
        """The equal error rate: where the straight lines between ROC points meet FAR = FRR."""
        gap = self.far - self.frr
        after = int(np.argmax(gap <= 0))
        before = after - 1
        share = gap[before] / (gap[before] - gap[after])
        return float(self.far[before] + share * (self.far[after] - self.far[before]))

    def at_far(self, target: float) -> OperatingPoint:
        """The lowest threshold whose false-accept rate does not exceed the target.

        It lies halfway between two neighbouring scores, so that a later rounding of either does
        not change the decision.

        Args:
            target: In [0, 1].
        """
        index = int(np.argmax(self.far <= target))
        return self._point(index)

    def best_accuracy(self) -> tuple[float, OperatingPoint]:
        """The highest accuracy of any threshold, genuine and impostor pairs weighing half each."""
        accuracy = 1 - (self.far + self.frr) / 2
        index = int(np.argmax(accuracy))
        return float(accuracy[index]), self._point(index)

    def _point(self, index: int) -> OperatingPoint:
        if index == 0:
            threshold = float(self.thresholds[0])
        else:
            below = float(self.thresholds[index - 1])
            above = float(self.thresholds[index])
            threshold = below + (above - below) / 2 if np.isfinite(above) else np.inf
            if not below < threshold <= above or np.isinf(threshold):
                threshold = float(np.nextafter(below, np.inf))
        return OperatingPoint(threshold, float(self.far[index]), float(self.frr[index]))


class Ranking:
    """Scores in order, sorted once: from it a ROC for any weights.

    Args:
        genuine: Float (G,), at least one, finite.
        impostor: Float (I,), at least one, finite.
    """

    def __init__(self, genuine: npt.ArrayLike, impostor: npt.ArrayLike) -> None:
        ours = np.asarray(genuine, dtype=np.float64)
        others = np.asarray(impostor, dtype=np.float64)
        if ours.size == 0 or others.size == 0:
            raise ValueError("a ranking needs at least one genuine and one impostor score")
        if not (np.isfinite(ours).all() and np.isfinite(others).all()):
            raise ValueError("a ranking needs finite scores")
        self.thresholds, ranks = np.unique(np.concatenate([ours, others]), return_inverse=True)
        self._genuine = ranks[: ours.size]
        self._impostor = ranks[ours.size :]

    def roc(self, genuine: Floats | None = None, impostor: Floats | None = None) -> Roc:
        """The ROC under weights of the pairs.

        Args:
            genuine: Float (G,), ≥ 0, not all 0; all alike if not given.
            impostor: Float (I,), likewise.
        """
        count = len(self.thresholds)
        kept = np.bincount(self._genuine, weights=genuine, minlength=count).cumsum()
        passed = np.bincount(self._impostor, weights=impostor, minlength=count).cumsum()
        frr = np.concatenate([[0], kept]) / kept[-1]
        # Counted down from all, so that k of n accepted give the very double k / n.
        far = (passed[-1] - np.concatenate([[0], passed])) / passed[-1]
        return Roc(np.append(self.thresholds, np.inf), far, frr)


def roc(genuine: npt.ArrayLike, impostor: npt.ArrayLike) -> Roc:
    """The ROC of scores, higher being alike.

    Args:
        genuine: Float (G,), pairs of one class.
        impostor: Float (I,), pairs of two classes.

    Raises:
        ValueError: One of them is empty or not finite.
    """
    return Ranking(genuine, impostor).roc()


def rates_at(genuine: npt.ArrayLike, impostor: npt.ArrayLike, threshold: float) -> OperatingPoint:
    """The error rates of a given threshold, itself on the accepting side."""
    return OperatingPoint(
        threshold,
        float(np.mean(np.asarray(impostor) >= threshold)),
        float(np.mean(np.asarray(genuine) < threshold)),
    )


def pair_weights(genuine: int, impostor: int, prior: float) -> Floats:
    """Weights that sum to 1 and give the genuine pairs a share of `prior`.

    Returns:
        Float64 (genuine + impostor,), the genuine first.
    """
    return np.concatenate(
        [np.full(genuine, prior / genuine), np.full(impostor, (1 - prior) / impostor)]
    )


def calibration_error(
    probability: npt.ArrayLike,
    same: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    bins: int = ECE_BINS,
) -> float:
    """The expected calibration error (Naeini, Cooper, Hauskrecht 2015), in [0, 1].

    Over bins of equal width, the mean absolute difference between what was promised and what was
    found, each bin weighing as much as what fell into it.

    Args:
        probability: Float (N,), promised P(same), in [0, 1].
        same: Bool (N,), what was found.
        weights: Float (N,), ≥ 0; all alike if not given.
        bins: How many; a value on a border belongs to the upper bin, and 1 to the last.
    """
    binned = Binned(probability, same, bins=bins)
    gap = binned.gap(weights)
    weight = binned.pairs if weights is None else np.sum(np.asarray(weights, dtype=np.float64))
    return float(np.abs(gap).sum() / weight)


class Binned:
    """Promised probabilities sorted into bins once: from them the gaps for any weights.

    Args:
        probability: As `calibration_error`.
        same: Likewise.
        bins: Likewise.

    Attributes:
        pairs: How many.
    """

    def __init__(
        self, probability: npt.ArrayLike, same: npt.ArrayLike, *, bins: int = ECE_BINS
    ) -> None:
        promised = np.asarray(probability, dtype=np.float64)
        self.pairs = len(promised)
        self._bins = bins
        self._bin_of = np.minimum((promised * bins).astype(np.int64), bins - 1)
        self._gap = promised - np.asarray(same, dtype=np.float64)

    def gap(self, weights: npt.ArrayLike | None = None) -> Floats:
        """Float64 (bins,): promised less found, summed over each bin under the weights."""
        gaps = self._gap if weights is None else np.asarray(weights, dtype=np.float64) * self._gap
        return np.asarray(
            np.bincount(self._bin_of, weights=gaps, minlength=self._bins), dtype=np.float64
        )
