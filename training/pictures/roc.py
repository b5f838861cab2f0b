"""The ROC curve: how many genuine pairs are accepted for how many impostors let in."""

from dataclasses import dataclass

import numpy as np

from training.evaluation.metrics import Floats, OperatingPoint, Roc
from training.pictures import chart


@dataclass(frozen=True)
class Points:
    """A curve's points, in the order in which they are joined.

    Attributes:
        x: Float64 (P,).
        y: Float64 (P,).
    """

    x: Floats
    y: Floats


def roc_points(roc: Roc) -> Points:
    """The corners of the ROC curve, from (0, 0) to (1, 1).

    Returns:
        False-accept rates, and the shares of genuine pairs accepted, both never falling.
    """
    return corners(roc.far[::-1], 1 - roc.frr[::-1])


def corners(x: Floats, y: Floats) -> Points:
    """A curve without the points inside its level and upright stretches, which nobody would see.

    Args:
        x: Float64 (P,).
        y: Float64 (P,).
    """
    level, upright = np.diff(y) == 0, np.diff(x) == 0
    kept = np.ones(len(x), dtype=bool)
    kept[1:-1] = ~((level[:-1] & level[1:]) | (upright[:-1] & upright[1:]))
    return Points(x[kept], y[kept])


def roc_png(roc: Roc, subtitle: str, *, at_threshold: OperatingPoint | None = None) -> bytes:
    """Draws the curve with its area, its equal error rate, and the model's threshold.

    Args:
        roc: What to draw.
        subtitle: The model and the data.
        at_threshold: The rates at the model's own threshold, if it has one.
    """
    figure, axes = chart.new_chart(7.2)
    points, eer = roc_points(roc), roc.eer()
    axes.plot([0, 1], [0, 1], "--", color=chart.QUIET, linewidth=1, label="chance")
    axes.fill_between(points.x, points.y, color=chart.GENUINE, alpha=0.08, linewidth=0)
    axes.plot(points.x, points.y, color=chart.GENUINE, linewidth=2.2, label=f"AUC {roc.auc():.4f}")
    chart.mark(axes, eer, 1 - eer, "o", chart.IMPOSTOR, f"equal error rate {chart.percent(eer)}")
    if at_threshold is not None:
        label = chart.at_threshold_label(at_threshold)
        chart.mark(axes, at_threshold.far, 1 - at_threshold.frr, "D", chart.MARKED, label)
    axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
    axes.set_xlabel("false-accept rate (share of impostor pairs accepted)")
    axes.set_ylabel("share of genuine pairs accepted (1 − false-reject rate)")
    axes.legend(loc="lower right", framealpha=1, fontsize=11)
    chart.title(axes, "ROC: genuine pairs accepted against impostors let in", subtitle)
    return chart.to_png(figure)
