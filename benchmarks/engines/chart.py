"""The race as a picture: each engine's speed as a part of ours."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.engines.contenders import OURS


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Writes a PNG with a panel for each number of threads.

    Args:
        result: From `__main__.measure`.
        path: Where to.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rows = result["rows"]
    numbers = sorted({row["threads"] for row in rows})
    names = list(dict.fromkeys(name for row in rows for name in row["images_per_second"]))
    colours = {name: f"C{index}" for index, name in enumerate(names)}
    figure = Figure(figsize=(10, 3.6 * len(numbers)), layout="constrained")
    panels = figure.subplots(len(numbers), 1, squeeze=False)[:, 0]
    for axes, threads in zip(panels, numbers, strict=True):
        shown = [row for row in rows if row["threads"] == threads]
        for place, row in enumerate(shown):
            rates = row["images_per_second"]
            width = 0.8 / len(rates)
            for index, (name, rate) in enumerate(rates.items()):
                left = place - 0.4 + (index + 0.5) * width
                axes.bar(left, rate / rates[OURS], width, color=colours[name])
        axes.axhline(1, color="black", linewidth=0.8)
        labels = [f"{row['network']}\nbatch {row['batch']}" for row in shown]
        axes.set_xticks(range(len(shown)), labels, fontsize=7, rotation=45)
        axes.set_ylabel("images/s, ours = 1")
        axes.set_title(f"{threads} thread{'s' * (threads > 1)}", loc="left")
    handles = [Patch(color=colours[name]) for name in names]
    figure.legend(handles, names, loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=110)
