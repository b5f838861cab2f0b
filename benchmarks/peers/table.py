"""The comparisons as Markdown."""

from collections.abc import Mapping
from typing import Any

from benchmarks.provenance import heading
from benchmarks.service import shown

TITLES = {
    "ours": "the others with Twinlens' decoding and engine",
    "pillow": "the others with its engine and Pillow's decoding",
    "torch": "the others with Pillow's decoding and eager PyTorch",
}
"""What each comparison is."""

_COUNTS = {
    "failures": "requests failed",
    "overdue": "requests had at the end waited for an answer longer than any other",
}

Levels = Mapping[str, Mapping[str, Any]]


def report(result: Mapping[str, Any]) -> str:
    """A table for each comparison.

    Args:
        result: From `__main__.measure`.
    """
    lines = [f"{heading(result)}; {result['images']}; engine {result['engine']}"]
    for name, comparison in result["comparisons"].items():
        lines += ["", f"{TITLES[name].capitalize()}:", "", *_table(comparison["servers"])]
        if "open_loop_rate" in comparison:
            lines += ["", f"open loop at {comparison['open_loop_rate']:.0f} requests/s"]
        lines += [
            f"{server}: {row[count]} {what} ({level})"
            for server, levels in comparison["servers"].items()
            for level, row in levels.items()
            for count, what in _COUNTS.items()
            if row[count]
        ]
    if "server_alone" in result:
        lines += ["", "CPU of the server alone, ms a request:", ""]
        lines += [f"- {name}: {row['cpu_ms']:.2f}" for name, row in result["server_alone"].items()]
    return "\n".join(lines)


def _table(servers: Mapping[str, Levels]) -> list[str]:
    levels = list(next(iter(servers.values())))
    heads = " | ".join(f"{level}: images/s | p50 ms | p99 ms" for level in levels)
    lines = [f"| | {heads} |", "|---" * (3 * len(levels) + 1) + "|"]
    for name, found in servers.items():
        cells = [
            " | ".join(shown(row[name]) for name in ("images_per_second", "p50_ms", "p99_ms"))
            for row in found.values()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    ratios = [ratio_to_best(servers, level) for level in levels]
    cells = [f"{ratio:.2f} | | " if ratio else " | | " for ratio in ratios]
    return [*lines, f"| the first, of the best other | {' | '.join(cells)} |"]


def ratio_to_best(servers: Mapping[str, Levels], level: str) -> float | None:
    """Throughput of the first server as a part of the best other one's; None without another.

    Args:
        servers: Figures by server and level.
        level: One of the levels.
    """
    rates = [levels[level]["images_per_second"] for levels in servers.values()]
    best = max(rates[1:], default=0.0)
    return rates[0] / best if best else None
