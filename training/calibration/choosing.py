"""Which kind of curve: chosen by how well each does on classes it was not fitted to."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from model_store.calibration import evidence
from model_store.curves import Curve
from training.calibration.fitting import fit_beta, fit_isotonic, fit_logistic
from training.evaluation.metrics import Floats
from training.evaluation.pairs import ScoredPairs

Fit = Callable[..., Curve]

METHODS: Mapping[str, Fit] = {
    "logistic": fit_logistic,
    "beta": fit_beta,
    "isotonic": fit_isotonic,
}
"""What fits each kind of curve, simplest first."""

# With fewer classes a fold would hold next to nothing, and the choice would be a throw of dice.
_LEAST_CLASSES = 20
_FOLDS = 5
# Nats that a curve with more freedom must gain to be taken. One standard error of the difference
# in its place keeps simpler curves more often, whose error on unseen classes is higher.
_WORTH_IT = 0.001
# More pairs of a kind than this do not change which curve wins.
_PAIRS = 50_000


@dataclass(frozen=True)
class Chosen:
    """A curve, and why it was taken.

    Attributes:
        curve: Fitted to all the pairs.
        log_losses: By method, the mean log loss (nats) on held-out classes under the prior; empty
            where there are too few classes to try.
    """

    curve: Curve
    log_losses: dict[str, float]


def choose_curve(scored: ScoredPairs, *, prior: float, seed: int) -> Chosen:
    """Fits the simplest curve whose log loss is next to the best.

    Cross-validated by class: a fold's classes are in no pair that a curve was fitted to.

    Args:
        scored: Pairs.
        prior: Share of genuine pairs that the probabilities are to assume, in (0, 1).
        seed: Of the draw of folds.
    """
    ours = evidence(scored.genuine, scored.metric)
    others = evidence(scored.impostor, scored.metric)
    simplest = fit_logistic(ours, others, prior=prior)
    if scored.paired_classes < _LEAST_CLASSES or simplest.slope == 0:
        return Chosen(simplest, {})
    losses: dict[str, list[float]] = {name: [] for name in METHODS}
    for fitted, held in _folds(scored, ours, others, np.random.default_rng(seed)):
        for name, fit in METHODS.items():
            losses[name].append(_log_loss(fit(*fitted, prior=prior), *held, prior))
    if not losses["logistic"]:
        return Chosen(simplest, {})
    means = {name: float(np.mean(values)) for name, values in losses.items()}
    winner = simplest_near_best(means)
    curve = simplest if winner == "logistic" else METHODS[winner](ours, others, prior=prior)
    return Chosen(curve, means)


def simplest_near_best(losses: Mapping[str, float]) -> str:
    """The first whose loss exceeds the lowest by at most a thousandth of a nat.

    Args:
        losses: By name, simplest first.
    """
    best = min(losses.values())
    return next(name for name, loss in losses.items() if loss <= best + _WORTH_IT)


def _folds(
    scored: ScoredPairs, ours: Floats, others: Floats, generator: np.random.Generator
) -> Iterator[tuple[tuple[Floats, Floats], tuple[Floats, Floats]]]:
    """For each fold, (genuine, impostor) of the other folds' classes, and of its own."""
    if len(ours) > _PAIRS or len(others) > _PAIRS:
        kept = [
            np.sort(generator.choice(len(values), _PAIRS, replace=False))
            if len(values) > _PAIRS
            else np.arange(len(values))
            for values in (ours, others)
        ]
    else:
        kept = [np.arange(len(ours)), np.arange(len(others))]
    ours, others = ours[kept[0]], others[kept[1]]
    alone, pair = scored.genuine_class[kept[0]], scored.impostor_classes[kept[1]]
    names = np.union1d(scored.genuine_class, scored.impostor_classes)
    fold = np.empty(int(names.max()) + 1, dtype=np.int64)
    fold[names] = generator.permutation(len(names)) % _FOLDS
    for number in range(_FOLDS):
        mine, either = fold[alone] == number, fold[pair] == number
        inside, outside = either.all(axis=1), ~either.any(axis=1)
        if mine.any() and (~mine).any() and inside.any() and outside.any():
            yield (ours[~mine], others[outside]), (ours[mine], others[inside])


def _log_loss(curve: Curve, genuine: Floats, impostor: Floats, prior: float) -> float:
    missed = -np.log(curve.probability(genuine)).mean()
    alarmed = -np.log1p(-curve.probability(impostor)).mean()
    return float(prior * missed + (1 - prior) * alarmed)
