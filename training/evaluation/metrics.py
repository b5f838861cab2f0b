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


def bin_of(probability: npt.ArrayLike, bins: int = ECE_BINS) -> Indices:
    """int64, of the same shape: the bin that each value in [0, 1] belongs to, of equal width.

    A value on a border belongs to the upper bin, and 1 to the last.
    """
    places = (np.asarray(probability, dtype=np.float64) * bins).astype(np.int64)
    return np.minimum(places, bins - 1)


class Promises:
    """What pairs were promised, sorted into bins once: from it the error under any weights.

    Args:
        genuine: Float (G,), the P(same) that genuine pairs were promised, in [0, 1].
        impostor: Float (I,), that of impostor pairs.
        prior: What the genuine pairs weigh together, in (0, 1); the impostor pairs weigh the rest.
        bins: How many, as `bin_of` takes it.
    """

    def __init__(
        self,
        genuine: npt.ArrayLike,
        impostor: npt.ArrayLike,
        prior: float,
        *,
        bins: int = ECE_BINS,
    ) -> None:
        kinds = [np.asarray(promised, dtype=np.float64) for promised in (genuine, impostor)]
        self._bins = bins
        self._shares = (prior, 1 - prior)
        self._bin_of = [bin_of(promised, bins) for promised in kinds]
        self._gaps = [promised - found for promised, found in zip(kinds, (1, 0), strict=True)]

    def error(
        self, genuine: npt.ArrayLike | None = None, impostor: npt.ArrayLike | None = None
    ) -> float:
        """The expected calibration error (Naeini, Cooper, Hauskrecht 2015), in [0, 1].

        The mean absolute difference between what was promised and what was found, each bin
        weighing as much as what fell into it.

        Args:
            genuine: Float (G,), ≥ 0 and not all 0: how genuine pairs weigh against each other; all
                alike if not given.
            impostor: Float (I,), likewise.
        """
        total = np.zeros(self._bins)
        given = zip(self._shares, self._bin_of, self._gaps, (genuine, impostor), strict=True)
        for share, places, gaps, asked in given:
            weights = np.ones(len(gaps)) if asked is None else np.asarray(asked, dtype=np.float64)
            summed = np.bincount(places, weights=weights * gaps, minlength=self._bins)
            total += share * summed / weights.sum()
        return float(np.abs(total).sum())
