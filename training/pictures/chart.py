"""What all charts have in common: size, colours, and how they become files."""

import io
import textwrap
from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from model_store.metric import Metric
from training.evaluation.metrics import OperatingPoint
from training.pictures.fonts import drawable, faces

# Of the palette of Okabe and Ito (2008), which people of any colour vision can tell apart.
GENUINE = "#0072B2"
IMPOSTOR = "#D55E00"
MARKED = "#009E73"
FURTHER = "#CC79A7"
QUIET = "#7F7F7F"
_INK = "#222222"

_DPI = 100
# Points between a heading and its axes.
_ABOVE = 6
# Letters of a subtitle that fit on a line.
_LINE = 105


def new_chart(height: float = 6.0) -> tuple[Figure, Axes]:
    """A figure of 900 pixels' width with one set of axes; `height` in hundreds of pixels."""
    figure = new_figure(height)
    return figure, dressed(figure.add_subplot())


def new_figure(height: float) -> Figure:
    """An empty figure of 900 pixels' width; `height` in hundreds of pixels."""
    return Figure(figsize=(9, height), dpi=_DPI, layout="constrained", facecolor="white")


def dressed(axes: Axes) -> Axes:
    """Axes with a light grid and without a box."""
    axes.grid(visible=True, color="#E3E3E3", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK)
    return axes


def title(axes: Axes, text: str, subtitle: str, *, above: float = 0) -> None:
    """A bold heading, and below it, on two lines at most, what was measured on what.

    Args:
        axes: What they stand over.
        text: The heading.
        subtitle: What was measured on what.
        above: Points between them and the axes, for what stands there.
    """
    subtitle = drawable(subtitle)
    lines = textwrap.wrap(subtitle, _LINE, max_lines=2, placeholder=" …")
    # Empty lines keep the room that the subtitle takes.
    heading = text + "\n" * len(lines)
    axes.set_title(
        heading, loc="left", fontsize=14, fontweight="bold", color=_INK, pad=_ABOVE + above
    )
    axes.annotate(
        "\n".join(lines),
        (0, 1),
        xytext=(0, 2 + _ABOVE + above),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=10,
        fontfamily=[face.family for face in faces(subtitle)],
        color="#555555",
        # Names of users' folders are no formulas, whatever signs are in them.
        parse_math=False,
    )


def mark(axes: Axes, x: float, y: float, shape: str, colour: str, label: str) -> None:
    """Marks one point, on the frame too."""
    axes.plot(
        [x],
        [y],
        shape,
        color=colour,
        label=label,
        linestyle="",
        markersize=10,
        markeredgecolor="white",
        clip_on=False,
        zorder=5,
    )


def log_scale(axes: Axes, write: Callable[[float], str]) -> None:
    """Makes the axis that goes up logarithmic, and `write` gives what its ticks say."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(_LogLabels(write))
    axes.yaxis.set_minor_formatter(_LogLabels(write))


def at_threshold_label(point: OperatingPoint) -> str:
    """What the rates at the model's threshold are called in a legend."""
    return f"the model's threshold: FAR {percent(point.far)}, FRR {percent(point.frr)}"


def to_png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI)
    return file.getvalue()


def named(metric: Metric) -> str:
    """What to call a score, and which way it points."""
    direction = "higher" if metric.higher_is_alike else "lower"
    return f"{metric.value.replace('_', ' ')} ({direction} is more alike)"


def percent(rate: float) -> str:
    """A rate as a percentage of three digits: 12.3 %, 0.123 %."""
    return f"{100 * rate:.3g} %"


class _LogLabels(LogFormatter):
    """Labels of the ticks that matplotlib would label: those between decades where these are few.

    Args:
        write: Gives the label of a value.
    """

    def __init__(self, write: Callable[[float], str]) -> None:
        super().__init__()
        self._write = write

    def __call__(self, x: float, pos: int | None = None) -> str:
        return self._write(x) if super().__call__(x, pos) else ""
