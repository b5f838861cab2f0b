"""The comparison as a picture: throughput and tail latency by concurrency."""

from pathlib import Path
from typing import Any


def draw(result: dict[str, Any], path: Path) -> None:
    """Writes a PNG.

    Args:
        result: From `__main__.measure`.
        path: Where to.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, levels in result["servers"].items():
        closed = {int(level.split()[1]): row for level, row in levels.items() if level != "open"}
        style = {"marker": "o", "linewidth": 2.5 if name == "Twinlens" else 1.2, "label": name}
        left.plot(list(closed), [row["images_per_second"] for row in closed.values()], **style)
        right.plot(list(closed), [row["p99_ms"] for row in closed.values()], **style)
    for axes, title in ((left, "images/s"), (right, "99th percentile of latency, ms")):
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(closed), [str(level) for level in closed])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("requests in flight")
        axes.set_title(title)
        axes.grid(alpha=0.3)
    left.legend()
    figure.savefig(path, dpi=110)
