"""The sweeps as a picture: a panel each."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = Sequence[Mapping[str, Any]]


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Writes a PNG.

    Args:
        result: From `__main__.measure`.
        path: Where to.
    """
    from matplotlib.figure import Figure

    sweeps = result["sweeps"]
    lines = -(-len(sweeps) // 2)
    figure = Figure(figsize=(10, 3.6 * lines), layout="constrained")
    panels = figure.subplots(lines, 2, squeeze=False).ravel()
    for axes in panels[len(sweeps) :]:
        axes.remove()
    for axes, (name, rows) in zip(panels, sweeps.items(), strict=False):
        _PANELS[name](axes, rows)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def _batch(axes: "Axes", rows: Rows) -> None:
    sizes = [row["batch"] for row in rows]
    _logarithmic(axes, sizes, "images in a batch or request")
    _line(axes, sizes, rows, "engine_images_per_second", "engine alone")
    _line(axes, sizes, rows, "images_per_second", "one request at a time")
    axes.set_ylabel("images/s")
    axes.set_ylim(bottom=0)


def _size(axes: "Axes", rows: Rows) -> None:
    sides = [row["side"] for row in rows]
    _logarithmic(axes, sides, "longer side of the JPEG, pixels")
    _line(axes, sides, rows, "images_per_second", "images/s, eight at a time")
    _line(axes, sides, rows, "alone_p50_ms", "median latency alone, ms")
    axes.set_ylim(bottom=0)


def _models(axes: "Axes", rows: Rows) -> None:
    counts = [row["models"] for row in rows]
    _logarithmic(axes, counts, "models that requests are spread over")
    _line(axes, counts, rows, "images_per_second", "images/s, eight at a time")
    _line(axes, counts, rows, "p99_ms", "99th percentile of latency, ms")
    axes.set_ylim(bottom=0)


def _candidates(axes: "Axes", rows: Rows) -> None:
    counts = sorted({row["candidates"] for row in rows})
    _logarithmic(axes, counts, "candidates of /compare/many")
    for model in dict.fromkeys(row["model"] for row in rows):
        shown = [row for row in rows if row["model"] == model]
        _line(axes, counts, shown, "p50_ms", f"{model}, {shown[0]['dimension']} values")
    axes.set_yscale("log")
    axes.set_ylabel("median latency, ms")


def _logarithmic(axes: "Axes", points: Sequence[int], label: str) -> None:
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(points, [f"{point:,}" for point in points])
    axes.set_xlabel(label)


def _line(axes: "Axes", points: Sequence[int], rows: Rows, key: str, label: str) -> None:
    axes.plot(points, [row[key] for row in rows], marker="o", label=label)


_PANELS: Mapping[str, Callable[["Axes", Rows], None]] = {
    "batch": _batch,
    "size": _size,
    "models": _models,
    "candidates": _candidates,
}
