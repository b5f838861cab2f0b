"""The reliability diagram: what a calibration promises against what is found."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from model_store.calibration import Calibration
from training.evaluation.intervals import clopper_pearson
from training.evaluation.metrics import ECE_BINS, Floats, Indices, bin_of
from training.evaluation.pairs import ScoredPairs
from training.evaluation.protocols.verification import probability_error
from training.pictures import chart


@dataclass(frozen=True)
class Reliability:
    """Pairs by the probability they were promised, in bins of equal width over [0, 1].

    Attributes:
        promised: Float64 (bins,), the mean P(same) of each bin under the prior; NaN where it is
            empty, as are the next three.
        found: Float64 (bins,), the share of genuine pairs in it, under the prior.
        low: Float64 (bins,), the lower end of the 95 % interval of `found`, as if pairs did not
            depend on each other.
        high: Float64 (bins,), the upper end.
        genuine: int64 (bins,), genuine pairs in it.
        impostor: int64 (bins,), impostor pairs in it.
        error: The expected calibration error, in [0, 1].
    """

    promised: Floats
    found: Floats
    low: Floats
    high: Floats
    genuine: Indices
    impostor: Indices
    error: float


def reliability(
    scored: ScoredPairs, calibration: Calibration, *, bins: int = ECE_BINS
) -> Reliability:
    """Sorts pairs into bins, genuine pairs weighing as much as the calibration's prior says.

    Args:
        scored: Pairs.
        calibration: What promises.
        bins: How many, as `bin_of` takes it.
    """
    sums, counts = [], []
    for scores in (scored.genuine, scored.impostor):
        promised = calibration.probability(scores, scored.metric)
        place = bin_of(promised, bins)
        sums.append(np.bincount(place, weights=promised, minlength=bins))
        counts.append(np.bincount(place, minlength=bins))
    # What one genuine and one impostor pair weigh.
    ours = calibration.prior / len(scored.genuine)
    others = (1 - calibration.prior) / len(scored.impostor)
    weight = ours * counts[0] + others * counts[1]
    there = weight > 0
    means, found, low, high = (np.full(bins, np.nan) for _ in range(4))
    means[there] = (ours * sums[0] + others * sums[1])[there] / weight[there]
    found[there] = ours * counts[0][there] / weight[there]
    for bin_ in np.flatnonzero(there).tolist():
        genuine, impostor = int(counts[0][bin_]), int(counts[1][bin_])
        # Weighing moves a share along a rising curve, and the ends of its interval with it.
        low[bin_], high[bin_] = (
            ours * share / (ours * share + others * (1 - share))
            for share in clopper_pearson(genuine, genuine + impostor)
        )
    error = probability_error(scored, calibration, bins=bins)
    return Reliability(means, found, low, high, counts[0], counts[1], error)


def reliability_png(scored: ScoredPairs, calibration: Calibration, subtitle: str) -> bytes:
    """Draws promised against found, and below it how many pairs stand behind each bin.

    Args:
        scored: Pairs.
        calibration: What promises.
        subtitle: The model and the data.
    """
    sorted_in = reliability(scored, calibration)
    figure = chart.new_figure(8.2)
    upper, lower = figure.subplots(2, 1, height_ratios=[3, 1.2], sharex=True)
    _promises(chart.dressed(upper), sorted_in)
    chart.title(upper, "Calibration: the probability promised, and the share found", subtitle)
    _counts(chart.dressed(lower), sorted_in)
    lower.set_xlabel(f"promised probability of being the same (prior {calibration.prior:g})")
    lower.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    # Outside, as intervals and bars may be anywhere inside.
    figure.legend(loc="outside lower center", ncols=2, fontsize=10, frameon=False)
    return chart.to_png(figure)


def _promises(axes: Axes, sorted_in: Reliability) -> None:
    there = np.isfinite(sorted_in.promised)
    promised, found = sorted_in.promised[there], sorted_in.found[there]
    axes.plot([0, 1], [0, 1], "--", color=chart.QUIET, linewidth=1, label="as promised")
    # Rounding may put a share a hair outside its own interval, and bars must not point inwards.
    bars = [
        np.maximum(0, found - sorted_in.low[there]),
        np.maximum(0, sorted_in.high[there] - found),
    ]
    axes.errorbar(
        promised,
        found,
        yerr=bars,
        fmt="o-",
        color=chart.GENUINE,
        ecolor=chart.GENUINE,
        elinewidth=1.4,
        capsize=3,
        linewidth=1.4,
        markersize=7,
        markeredgecolor="white",
        label=f"found, with 95 % intervals; calibration error (ECE) {sorted_in.error:.4f}",
    )
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set_ylabel("share of genuine pairs, under the prior")


def _counts(axes: Axes, sorted_in: Reliability) -> None:
    bins = len(sorted_in.genuine)
    left = np.arange(bins) / bins
    width = 0.42 / bins
    for counts, shift, colour, label in (
        (sorted_in.impostor, 0.07, chart.IMPOSTOR, "impostor pairs"),
        (sorted_in.genuine, 0.51, chart.GENUINE, "genuine pairs"),
    ):
        axes.bar(left + shift / bins, counts, width, align="edge", color=colour, label=label)
    # The axis begins below 1, so that a bar of one pair is seen, and nothing is counted there.
    chart.log_scale(axes, lambda pairs: f"{pairs:,.0f}" if pairs >= 1 else "")
    axes.set_ylim(bottom=0.7)
    axes.set_ylabel("pairs (log scale)")
