"""How far a figure is to be trusted: 95 % confidence intervals."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from scipy import sparse, stats

from training.evaluation.metrics import Floats, Indices, Ranking, Roc

Interval = tuple[float, float]

GROUPS_WANTED = 4
"""Of fewer groups nothing can be told by drawing groups anew."""

REPLICATES = 200
_LEVEL = 0.95
_TAILS = (50 * (1 - _LEVEL), 100 - 50 * (1 - _LEVEL))
_UPPER = (1 + _LEVEL) / 2
_DRAWN_AT_ONCE = 1 << 18


def clopper_pearson(hits: float, trials: int) -> Interval:
    """The exact interval of a share from independent trials (Clopper, Pearson 1934).

    Args:
        hits: In [0, trials]; between whole numbers, what lies between their intervals.
        trials: At least 1.
    """
    tail = (1 - _LEVEL) / 2
    low = 0.0 if hits == 0 else float(stats.beta.ppf(tail, hits, trials - hits + 1))
    high = 1.0 if hits == trials else float(stats.beta.ppf(1 - tail, hits + 1, trials - hits))
    return (low, high)


def with_exact(interval: Interval, share: float, trials: int) -> Interval:
    """What holds an interval by drawing anew, and Clopper and Pearson's of the same share.

    Where all went well, it does in every draw; not so whatever else may be asked. Where nearly all
    did, draws vary less than others would. For a mean of values in [0, 1] that are no hits, such
    as precisions, and for an area under the curve, which vary no more than hits of the same share,
    the exact interval is wider than need be.

    Args:
        interval: By drawing anew.
        share: What it is of, in [0, 1].
        trials: That may count as independent, at least 1: an image that is asked again, or stands
            in several pairs, counts once.
    """
    return hull(interval, clopper_pearson(share * trials, trials))


def bootstrap_mean(
    values: npt.ArrayLike, units: Indices | None = None, *, seed: int, replicates: int = 2000
) -> Interval:
    """The interval of a mean, by drawing anew with replacement (Efron 1979).

    On either side of the mean it is widened as in `rate_of_others`, since few units vary more than
    drawing them anew shows.

    Args:
        values: Float or bool (N,), in [0, 1].
        units: int64 (N,), what is drawn whole: values of one unit depend on each other, such as
            queries of one class. Every value is its own unit if not given.
        seed: Of the draw.
        replicates: Draws.

    Returns:
        Of a single unit nothing can be drawn anew: the interval is then [0, 1].
    """
    numbers = np.asarray(values, dtype=np.float64)
    unit = np.arange(len(numbers)) if units is None else np.unique(units, return_inverse=True)[1]
    sums, counts = np.bincount(unit, weights=numbers), np.bincount(unit)
    if len(counts) < 2:
        return (0.0, 1.0)
    generator = np.random.default_rng(seed)
    means = np.empty(replicates)
    # In blocks, because all draws at once would be replicates × units values.
    for start in range(0, replicates, 100):
        block = min(100, replicates - start)
        drawn = generator.integers(0, len(counts), size=(block, len(counts)))
        means[start : start + block] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return _widened(_percentiles(means), float(numbers.mean()), _for_few(len(counts)))


def bootstrap_by_class(
    ranking: Ranking,
    genuine_class: Indices,
    impostor_classes: Indices,
    figures: Mapping[str, Callable[[Roc], float]],
    *,
    weighted: Mapping[str, Callable[[Floats, Floats], float]] | None = None,
    seed: int,
    replicates: int = REPLICATES,
) -> dict[str, Interval]:
    """Intervals that hold for other classes of the kind, not only for other images.

    Pairs of one class, or with one class in common, depend on each other; classes do not. So
    classes are drawn anew with replacement, and a pair counts as often as its classes were drawn
    (for an impostor pair, the product of the two). On either side of the figure the interval is
    widened as in `rate_of_others`, since few classes vary more than drawing them anew shows. Those
    with genuine pairs are what counts: others, such as of a single image, say nothing of how alike
    images of one class are.

    Args:
        ranking: Of the scores.
        genuine_class: int64 (G,), the class of each genuine pair.
        impostor_classes: int64 (I, 2), the classes of each impostor pair.
        figures: By name, what is computed from the ROC of each draw, in [0, 1].
        weighted: By name, what is computed from how often each genuine and each impostor pair
            counts in a draw.
        seed: Of the draws.
        replicates: Draws.

    Returns:
        By name; empty where the classes are too few for draws to hold pairs of both kinds, and
        where a single one has genuine pairs.
    """
    paired = len(np.unique(genuine_class))
    if paired < 2:
        return {}
    names, index = np.unique(
        np.concatenate([genuine_class, impostor_classes.ravel()]), return_inverse=True
    )
    ours = index[: len(genuine_class)]
    first, second = index[len(genuine_class) :].reshape(-1, 2).T
    generator = np.random.default_rng(seed)
    others = weighted or {}
    values: list[list[float]] = []
    for _ in range(replicates):
        times = np.bincount(
            generator.integers(0, len(names), size=len(names)), minlength=len(names)
        ).astype(np.float64)
        genuine, impostor = times[ours], times[first] * times[second]
        if genuine.any() and impostor.any():
            roc = ranking.roc(genuine, impostor)
            values.append(
                [figure(roc) for figure in figures.values()]
                + [figure(genuine, impostor) for figure in others.values()]
            )
    if 2 * len(values) < replicates:
        return {}
    roc, ones = ranking.roc(), (np.ones(len(genuine_class)), np.ones(len(impostor_classes)))
    found = [figure(roc) for figure in figures.values()]
    found += [figure(*ones) for figure in others.values()]
    wider = _for_few(paired)
    columns = np.array(values, dtype=np.float64).T
    return {
        name: _widened(_percentiles(column), value, wider)
        for name, value, column in zip([*figures, *others], found, columns, strict=True)
    }


def _widened(interval: Interval, value: float, wider: float) -> Interval:
    """The smallest interval that holds another, stretched away from a value in [0, 1], and both."""
    low, high = (value + wider * (end - value) for end in interval)
    stretched = (max(0.0, low), min(1.0, high))
    return hull(interval, (value, value), stretched)


def _for_few(count: int) -> float:
    """√(k/(k−1)) · t/z for k units: Student's and the normal distribution's quantiles."""
    student = stats.t.ppf(_UPPER, count - 1) / stats.norm.ppf(_UPPER)
    return float(np.sqrt(count / (count - 1)) * student)


def rate_of_others(
    wrong: npt.NDArray[np.bool_], units: Indices, *, seed: int, replicates: int = 1000
) -> Interval:
    """Where the error rate of as many other units of the kind is to be expected.

    A threshold is chosen on some classes and used on others, and the rates of both vary. So the
    root of the rate, whose variance hardly depends on the rate, is moved by the difference of the
    roots of two independent draws of these units, and squared again. That is widened by
    √(k/(k−1)) · t/z, for k units and Student's and the normal distribution's quantiles: few units
    vary more than drawing them anew shows. And the interval holds Clopper and Pearson's, which does
    not shrink to nothing where not one error was seen.

    Args:
        wrong: Bool (P,), which pairs were decided wrongly; at least one pair.
        units: int64 (P, 2) of impostor pairs or (P,) of genuine pairs: their classes; or the groups
            of these, whose classes are alike.
        seed: Of the draws.
        replicates: Draws.
    """
    exact = clopper_pearson(int(np.count_nonzero(wrong)), len(wrong))
    names, index = np.unique(units, return_inverse=True)
    count = len(names)
    errors, pairs = (
        each.reshape(2, replicates)
        for each in _drawn(
            wrong, index.reshape(units.shape), np.random.default_rng(seed), 2 * replicates
        )
    )
    there = (pairs > 0).all(axis=0)
    if count < 2 or 2 * np.count_nonzero(there) < replicates:
        return (0.0, 1.0)
    roots = np.sqrt(errors[:, there] / pairs[:, there])
    low, high = _for_few(count) * np.percentile(roots[0] - roots[1], _TAILS)
    root = np.sqrt(np.mean(wrong))
    expected = (float(max(0.0, root + low) ** 2), float(min(1.0, root + high) ** 2))
    return hull(exact, expected)


def rate_in_classes(wrong: npt.NDArray[np.bool_], classes: Indices) -> Interval:
    """The interval of an error rate whose errors come together: where one is, there are others.

    Pairs of one class fail together, so that however many there are, it is classes that count: the
    share of them with an error has Clopper and Pearson's interval. It is multiplied by the error
    rate of these classes; for the upper end as if one more were wrong throughout, because few of
    them, or none, do not show how bad the next may be.

    Args:
        wrong: Bool (P,), which pairs were decided wrongly; at least one pair.
        classes: int64 (P,), the class of each.
    """
    _, index, pairs = np.unique(classes, return_inverse=True, return_counts=True)
    errors = np.bincount(index, weights=wrong)
    count, bad = len(pairs), errors > 0
    low, high = clopper_pearson(int(np.count_nonzero(bad)), count)
    seen, among, one_more = errors.sum(), pairs[bad].sum(), len(wrong) / count
    least = float(low * seen / among) if bad.any() else 0.0
    return (least, float(high * (seen + one_more) / (among + one_more)))


def _drawn(
    wrong: npt.NDArray[np.bool_], units: Indices, generator: np.random.Generator, replicates: int
) -> tuple[Floats, Floats]:
    """Errors and pairs of each draw of as many units, numbered from 0: float64 (replicates,)."""
    count = int(units.max()) + 1
    # Of a genuine pair there is one unit, which it comes with as a pair within a unit does.
    first, second = (units, units) if units.ndim == 1 else units.T

    def tabled(values: Floats) -> tuple[sparse.csr_matrix, Floats]:
        # Pairs of the same two units weigh the same, so they are counted once and for all.
        table = sparse.coo_matrix((values, (first, second)), (count, count)).tocsr()
        within = table.diagonal()
        return table - sparse.diags(within), within

    tables = tabled(wrong.astype(np.float64)), tabled(np.ones(len(wrong)))
    found = np.empty((2, replicates))
    # In blocks, because all draws at once would be replicates × units values, several times.
    rows = max(1, _DRAWN_AT_ONCE // count)
    for start in range(0, replicates, rows):
        block = min(rows, replicates - start)
        drawn = generator.integers(0, count, size=(block, count))
        offsets = np.arange(block)[:, None] * count
        times = np.bincount((drawn + offsets).ravel(), minlength=block * count)
        times = times.reshape(block, count).astype(np.float64)
        for sums, (across, within) in zip(found, tables, strict=True):
            sums[start : start + block] = ((across.T @ times.T).T * times).sum(axis=1)
            sums[start : start + block] += times @ within
    return found[0], found[1]


def hull(*intervals: Interval) -> Interval:
    """The smallest interval that holds all of them."""
    return (min(low for low, _ in intervals), max(high for _, high in intervals))


def _percentiles(values: Floats) -> Interval:
    low, high = np.percentile(values, _TAILS)
    return (float(low), float(high))
