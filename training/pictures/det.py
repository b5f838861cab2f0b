"""The DET curve: both error rates against each other, on normal-deviate axes.

Martin, Doddington, Kamm, Ordowski, Przybocki, "The DET curve in assessment of detection task
performance", Eurospeech 1997. Scores that are normally distributed give a straight line, and the
low rates that matter, which a ROC curve hides in its corner, get the room.
"""

import numpy as np
from matplotlib.axes import Axes
from scipy import stats

from training.evaluation.metrics import Floats, OperatingPoint, Roc
from training.pictures import chart
from training.pictures.roc import Points, corners

_TICKS = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99)
_MOST = 0.6


def det_points(roc: Roc, genuine: int, impostor: int) -> Points:
    """The curve in normal deviates, Φ⁻¹(rate), FAR across and FRR up.

    A rate of 0 or 1, which lies at infinity, is drawn half a pair away from it.

    Args:
        roc: The rates.
        genuine: Genuine pairs they were counted on.
        impostor: Impostor pairs, likewise.
    """
    return corners(deviate(roc.far[::-1], impostor), deviate(roc.frr[::-1], genuine))


def deviate(rate: Floats | float, pairs: int) -> Floats:
    """Φ⁻¹ of a rate, kept half a pair of `pairs` away from 0 and 1."""
    half = 0.5 / pairs
    return np.asarray(stats.norm.ppf(np.clip(rate, half, 1 - half)), dtype=np.float64)


def det_png(
    roc: Roc,
    subtitle: str,
    *,
    genuine: int,
    impostor: int,
    at_threshold: OperatingPoint | None = None,
) -> bytes:
    """Draws the curve with its equal error rate and the model's threshold.

    Args:
        roc: What to draw.
        subtitle: The model and the data.
        genuine: Genuine pairs it was counted on.
        impostor: Impostor pairs, likewise.
        at_threshold: The rates at the model's own threshold, if it has one.
    """
    figure, axes = chart.new_chart(7.2)
    points, eer = det_points(roc, genuine, impostor), roc.eer()
    highest = min(1.0, max(_MOST, eer + 0.2))
    limits = [
        (float(deviate(0.0, pairs)) - 0.1, float(deviate(highest, pairs)))
        for pairs in (impostor, genuine)
    ]
    axes.plot([-9, 9], [-9, 9], "--", color=chart.QUIET, linewidth=1, label="equal errors")
    axes.plot(points.x, points.y, color=chart.GENUINE, linewidth=2.2, label="the model")
    for far, frr, shape, colour, label in [
        (eer, eer, "o", chart.IMPOSTOR, f"equal error rate {chart.percent(eer)}"),
        *(
            (point.far, point.frr, "D", chart.MARKED, chart.at_threshold_label(point))
            for point in ([at_threshold] if at_threshold else [])
        ),
    ]:
        chart.mark(
            axes,
            float(deviate(far, impostor)),
            float(deviate(frr, genuine)),
            shape,
            colour,
            label,
        )
    axes.set(xlim=limits[0], ylim=limits[1])
    _ticks(axes)
    axes.set_xlabel("false-accept rate (share of impostor pairs accepted), normal deviate")
    axes.set_ylabel("false-reject rate (share of genuine pairs refused), normal deviate")
    axes.legend(loc="upper right", framealpha=1, fontsize=11)
    chart.title(axes, "DET: false rejects against false accepts", subtitle)
    return chart.to_png(figure)


def _ticks(axes: Axes) -> None:
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        rates = [rate for rate in _TICKS if low <= stats.norm.ppf(rate) <= high]
        axis.set_ticks(stats.norm.ppf(rates), [f"{100 * rate:.10g} %" for rate in rates])
