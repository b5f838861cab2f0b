"""The score histogram: genuine and impostor pairs, and where the threshold parts them."""

from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import PercentFormatter

from training.evaluation.metrics import Floats
from training.evaluation.pairs import ScoredPairs
from training.pictures import chart

_FEWEST_BINS, _MOST_BINS = 20, 80
# Above this share in one bin, all the other bins would be too low to be seen.
_PEAK = 0.25


@dataclass(frozen=True)
class Histogram:
    """Two histograms over the same bins.

    Attributes:
        edges: Float64 (bins + 1,), rising, in the unit of the scores.
        genuine: Float64 (bins,), the share of the genuine pairs in each bin.
        impostor: Likewise, of the impostor pairs.
    """

    edges: Floats
    genuine: Floats
    impostor: Floats


def histogram(scored: ScoredPairs, bins: int | None = None) -> Histogram:
    """Counts the scores in bins of equal width from the lowest of all to the highest.

    Args:
        scored: The pairs.
        bins: How many; if not given, so many that chance does not make the outline ragged, by the
            cube root of the rarer kind's number (Freedman, Diaconis 1981).
    """
    if bins is None:
        fewest = min(len(scored.genuine), len(scored.impostor))
        bins = max(_FEWEST_BINS, min(_MOST_BINS, round(3 * fewest ** (1 / 3))))
    lowest = min(scored.genuine.min(), scored.impostor.min())
    highest = max(scored.genuine.max(), scored.impostor.max())
    if highest - lowest < 1e-9 * max(1.0, abs(lowest)):
        lowest, highest = lowest - 0.5, highest + 0.5
    edges = np.linspace(lowest, highest, bins + 1)
    genuine, impostor = (
        np.histogram(scores, edges)[0] / len(scores) for scores in (scored.genuine, scored.impostor)
    )
    return Histogram(edges, genuine, impostor)


def scores_png(scored: ScoredPairs, subtitle: str, *, threshold: float | None = None) -> bytes:
    """Draws both histograms, each adding up to 100 %.

    Args:
        scored: The pairs.
        subtitle: The model and the data.
        threshold: The model's own, in the metric's unit, if it has one.
    """
    figure, axes = chart.new_chart(5.6)
    counted = histogram(scored)
    for shares, colour, label in (
        (counted.impostor, chart.IMPOSTOR, f"impostor: {len(scored.impostor):,} pairs"),
        (counted.genuine, chart.GENUINE, f"genuine: {len(scored.genuine):,} pairs"),
    ):
        axes.stairs(shares, counted.edges, fill=True, color=colour, alpha=0.35)
        axes.stairs(shares, counted.edges, color=colour, linewidth=1.6, label=label)
    low, high = counted.edges[0], counted.edges[-1]
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    margin = 0.02 * (high - low)
    axes.set_xlim(low - margin, high + margin)
    label = "share of the pairs of a kind, by bin"
    if max(counted.genuine.max(), counted.impostor.max()) > _PEAK:
        chart.log_scale(axes, chart.percent)
        label += " (log scale)"
    else:
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    if threshold is not None:
        accepted = (threshold, high + margin)
        if not scored.metric.higher_is_alike:
            accepted = (low - margin, threshold)
        axes.axvspan(*accepted, color=chart.MARKED, alpha=0.08, linewidth=0, label="accepted: same")
        axes.axvline(
            threshold,
            color=chart.MARKED,
            linewidth=2,
            label=f"threshold {threshold:.4g}",
        )
    axes.set_xlabel(f"score: {chart.named(scored.metric)}")
    axes.set_ylabel(label)
    figure.legend(loc="outside lower center", ncols=4, fontsize=10, frameon=False)
    chart.title(axes, "Scores of genuine and impostor pairs", subtitle)
    return chart.to_png(figure)
