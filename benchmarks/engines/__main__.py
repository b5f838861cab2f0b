"""The service's CPU engine beside others on the same networks: `python -m benchmarks.engines`.

Each network is computed by all of them in turn, in rounds; figures are medians over the rounds.
What the others need comes with the extra `benchmarks`; inductor also needs a C++ compiler. The
first run compiles for many minutes, and keeps what it made.
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.inference.engines import Features, UInt8Batch
from app.inference.engines.agreement import compare
from benchmarks.engines.chart import draw
from benchmarks.engines.contenders import OURS, contenders
from benchmarks.engines.networks import NAMES, load
from benchmarks.output import add_outputs, write_outputs
from benchmarks.provenance import heading, provenance
from benchmarks.throughput import Contender
from model_store.cpus import available_cpus

_PAUSE = 0.02
"""Seconds between two of them: threads that wait for work by spinning have given up by then."""


def race(
    contestants: Mapping[str, Contender], images: UInt8Batch, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Images a second of each in every round; rounds are interleaved."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            time.sleep(_PAUSE)
            found[name].append(contestant.rate(images, seconds))
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every network at every batch size and number of threads."""
    rows = []
    random = np.random.default_rng(0)
    for name, threads, batch in itertools.product(
        options.networks, options.threads, options.batches
    ):
        shape = load(name, options.cache).manifest.preprocessing.shape
        images = random.integers(0, 256, (batch, *shape), dtype=np.uint8)
        contestants = dict(contenders(name, batch, threads, options.cache))
        expected = contestants["eager"].forward(images)
        for contestant, entry in contestants.items():
            # The first call compiles, and is no use if it computes something else.
            agree(contestant, entry.forward(images), expected)
        rates = race(contestants, images, options.rounds, options.seconds)
        rows.append(row(name, threads, batch, rates))
        print(line(rows[-1]), file=sys.stderr)
    return {
        **provenance("benchmarks.engines"),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "rows": rows,
    }


def agree(name: str, features: Features, expected: Features) -> None:
    """Raises ValueError unless features are those that eager PyTorch gives."""
    cosines, _ = compare(features.astype(np.float64), expected.astype(np.float64))
    worst = float(cosines.min())
    if not worst > 0.995:
        raise ValueError(f"{name} computes something else: cosine {worst:.4f} to eager PyTorch")


def row(
    network: str, threads: int, batch: int, rates: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """One line of the result.

    `ratio` is ours to the fastest other, by medians; `ratio_at_best` by each one's best round,
    which other work on the machine disturbs least.

    Args:
        network: Its name.
        threads: That computed.
        batch: Images in it.
        rates: Images a second in every round, by contender.
    """
    medians = {name: statistics.median(values) for name, values in rates.items()}
    best = {name: max(values) for name, values in rates.items()}
    others = [name for name in rates if name != OURS]
    fastest = max(others, key=lambda name: medians[name])
    return {
        "network": network,
        "threads": threads,
        "batch": batch,
        "images_per_second": medians,
        "best_images_per_second": best,
        "fastest_other": fastest,
        "ratio": medians[OURS] / medians[fastest],
        "ratio_at_best": best[OURS] / max(best[name] for name in others),
    }


def line(entry: Mapping[str, Any]) -> str:
    """A line of `measure` for people."""
    rates = ", ".join(f"{n} {v:.0f}" for n, v in entry["images_per_second"].items())
    return f"{entry['network']}, {entry['threads']} threads, batch {entry['batch']}: {rates}"


def report(result: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    names = list(dict.fromkeys(n for r in result["rows"] for n in r["images_per_second"]))
    lines = [
        heading(result),
        "",
        f"| network | threads | batch | {' | '.join(names)} | ours to the fastest | at best |",
        "|---" * (len(names) + 5) + "|",
    ]
    for entry in result["rows"]:
        rates = entry["images_per_second"]
        cells = [f"{rates[name]:.0f}" if name in rates else "" for name in names]
        lines.append(
            f"| {entry['network']} | {entry['threads']} | {entry['batch']} | {' | '.join(cells)} "
            f"| {entry['ratio']:.2f} | {entry['ratio_at_best']:.2f} |"
        )
    return "\n".join(lines)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4, 8])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, available_cpus()])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each turn, at least a call")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path.home() / ".cache" / "twinlens" / "benchmarks",
        help="where what is made of the networks is kept for the next run",
    )
    add_outputs(parser, plot=True)
    return parser.parse_args(arguments)


def main() -> None:
    """Runs, prints, and writes what it is asked to."""
    options = parse()
    options.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    result = measure(options)
    print(report(result))
    write_outputs(options, result, draw)


if __name__ == "__main__":
    main()
