"""The sweeps as a picture: images/s above, latency below."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = Sequence[Mapping[str, Any]]

_POINTS = {
    "batch": ("batch", "images in a batch, or in a request"),
    "size": ("side", "longer side of the JPEG, pixels"),
    "models": ("models", "models that requests are spread over"),
    "candidates": ("candidates", "candidates of /compare/many"),
}
_RATES = {"engine_images_per_second": "engine alone", "images_per_second": "through HTTP"}
_LATENCIES = {
    "engine_ms": "engine alone",
    "alone_p50_ms": "one at a time, median",
    "p50_ms": "median",
    "p99_ms": "99th percentile",
}

_FAR_APART = 4


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Writes a PNG.

    Args:
        result: From `__main__.measure`.
        path: Where to.
    """
    from matplotlib.figure import Figure

    sweeps = result["sweeps"]
    figure = Figure(figsize=(1 + 3.6 * len(sweeps), 6.4), layout="constrained")
    upper, lower = figure.subplots(2, len(sweeps), squeeze=False)
    for above, below, (name, rows) in zip(upper, lower, sweeps.items(), strict=True):
        key, label = _POINTS[name]
        _panel(above, rows, key, _RATES, "images/s")
        _panel(below, rows, key, _LATENCIES, "latency, ms")
        below.set_xlabel(label)
        _scale(below)
        if above.lines:
            above.set_ylim(0, 1.1 * above.get_ylim()[1])
        else:
            above.remove()
    figure.savefig(path, dpi=110)


def _scale(axes: "Axes") -> None:
    """Logarithmic where values lie far apart, else from 0."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    low, high = axes.dataLim.intervaly
    if high < _FAR_APART * low:
        axes.set_ylim(0, 1.1 * high)
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _panel(axes: "Axes", rows: Rows, key: str, figures: Mapping[str, str], title: str) -> None:
    points = sorted({row[key] for row in rows})
    models: list[str | None] = list(dict.fromkeys(row.get("model") for row in rows))
    for model in models:
        shown = [row for row in rows if row.get("model") == model]
        about = "" if model is None else f"{model} ({shown[0]['dimension']} values), "
        for figure, label in figures.items():
            if figure in shown[0]:
                values = [row[figure] for row in shown]
                axes.plot(points, values, marker="o", label=about + label)
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(points, [str(point) for point in points], fontsize=8)
    axes.set_ylabel(title)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize=7)
