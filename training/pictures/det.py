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
# In deviates, between the frame and what is drawn at the ends.
_MARGIN = 0.1


def det_points(roc: Roc, genuine: int, impostor: int) -> Points:
    """The curve in normal deviates, Φ⁻¹(rate), FAR across and FRR up.

    A rate of 0 or 1, which lies at infinity, is drawn half a pair away from it (of a sole pair, a
    quarter).

    Args:
        roc: The rates.
        genuine: Genuine pairs they were counted on.
        impostor: Impostor pairs, likewise.
    """
    return corners(deviate(roc.far[::-1], impostor), deviate(roc.frr[::-1], genuine))


def deviate(rate: Floats | float, pairs: int) -> Floats:
    """Φ⁻¹ of a rate, kept half a pair of `pairs` away from 0 and 1, a quarter of a sole pair."""
    # Half of a sole pair would draw both ends, and all between them, at one place.
    apart = min(0.5 / pairs, 0.25)
    return np.asarray(stats.norm.ppf(np.clip(rate, apart, 1 - apart)), dtype=np.float64)


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
    far, frr = (0.0, 0.0) if at_threshold is None else (at_threshold.far, at_threshold.frr)
    axes.plot([-9, 9], [-9, 9], "--", color=chart.QUIET, linewidth=1, label="equal errors")
    axes.plot(points.x, points.y, color=chart.GENUINE, linewidth=2.2, label="the model")
    for x, y, shape, colour, label in [
        (eer, eer, "o", chart.IMPOSTOR, f"equal error rate {chart.percent(eer)}"),
        *(
            (point.far, point.frr, "D", chart.MARKED, chart.at_threshold_label(point))
            for point in ([at_threshold] if at_threshold else [])
        ),
    ]:
        chart.mark(
            axes,
            float(deviate(x, impostor)),
            float(deviate(y, genuine)),
            shape,
            colour,
            label,
        )
    axes.set(xlim=_limits(highest, far, impostor), ylim=_limits(highest, frr, genuine))
    _ticks(axes)
    axes.set_xlabel("false-accept rate (share of impostor pairs accepted), normal deviate")
    axes.set_ylabel("false-reject rate (share of genuine pairs refused), normal deviate")
    # Outside, as the curve of a poor model goes through every corner.
    figure.legend(loc="outside lower center", ncols=2, fontsize=10, frameon=False)
    chart.title(axes, "DET: false rejects against false accepts", subtitle)
    return chart.to_png(figure)


def _limits(highest: float, marked: float, pairs: int) -> tuple[float, float]:
    """From the lowest rate to `highest`, or as far as a marked one."""
    low, high, there = (float(deviate(rate, pairs)) for rate in (0.0, highest, marked))
    return low - _MARGIN, max(high, there + _MARGIN)


def _ticks(axes: Axes) -> None:
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        rates = [rate for rate in _TICKS if low <= stats.norm.ppf(rate) <= high]
        axis.set_ticks(stats.norm.ppf(rates), [f"{100 * rate:.10g} %" for rate in rates])
