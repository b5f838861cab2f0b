"""The comparisons as a picture: throughput and tail latency by concurrency."""

import math
from pathlib import Path
from typing import Any

from benchmarks.peers.table import TITLES


def draw(result: dict[str, Any], path: Path) -> None:
    """Writes a PNG with a row for each comparison.

    Args:
        result: From `__main__.measure`.
        path: Where to.
    """
    from matplotlib.figure import Figure

    comparisons = result["comparisons"]
    figure = Figure(figsize=(9.5, 3.4 * len(comparisons)), layout="constrained")
    rows = figure.subplots(len(comparisons), 2, squeeze=False)
    for (left, right), (kind, comparison) in zip(rows, comparisons.items(), strict=True):
        for name, levels in comparison["servers"].items():
            closed = {int(key.split()[1]): row for key, row in levels.items() if key != "open"}
            style = {"marker": "o", "linewidth": 2.5 if name == "Twinlens" else 1.2, "label": name}
            left.plot(list(closed), [row["images_per_second"] for row in closed.values()], **style)
            right.plot(list(closed), [_finite(row["p99_ms"]) for row in closed.values()], **style)
        for axes, title in ((left, "images/s"), (right, "99th percentile of latency, ms")):
            axes.set_xscale("log", base=2)
            axes.set_xticks(list(closed), [str(level) for level in closed])
            axes.set_ylim(bottom=0)
            axes.set_xlabel("requests in flight")
            axes.set_ylabel(title)
            axes.grid(alpha=0.3)
        left.set_title(TITLES[kind], loc="left")
    handles, labels = rows[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.savefig(path, dpi=110)


def _finite(latency: float | None) -> float:
    """A latency as it is drawn: not at all where nothing was answered."""
    return math.nan if latency is None else latency
