"""How much of the machine's speed is left behind HTTP: `python -m benchmarks.serving`.

One run measures, in interleaved rounds: images/s of decode + forward inside this process at
several batch sizes, pipelined by the code that serves, and images/s through `POST /embed` of a
server process, cache off, with the load generator in a process of its own on the same machine.
"""

import argparse
import asyncio
import statistics
import sys
import time
from typing import Any

from threadpoolctl import threadpool_limits

from app.inference.embedder import EncodedImage
from app.inference.service import running
from app.settings import Settings
from benchmarks.load import PHOTOS
from benchmarks.output import add_outputs, write_outputs
from benchmarks.photos import load_photos
from benchmarks.processes import exit_on_signals
from benchmarks.provenance import heading, provenance
from benchmarks.service import MODEL, load, medians, server, shown

BATCHES = (1, 4, 8)
CONCURRENCIES = (1, 8, 32, 128)
IN_FLIGHT = 64
WARM_UP_SECONDS = 0.5


async def in_process(files: list[bytes], max_batch: int, seconds: float) -> float:
    """Images/s of decode + forward without HTTP: so many images in flight that all cores share.

    As in `load.closed_loop`, what is under way when the warm-up ends counts, and what is when the
    time is up does not: the pipeline is full at both.
    """
    settings = Settings(
        cache_bytes=0, default_model=MODEL, max_batch=max_batch, store_poll_seconds=0
    )
    async with running(settings) as service:
        done = 0
        begin = time.perf_counter() + WARM_UP_SECONDS
        end = begin + seconds

        async def keep_busy(index: int) -> None:
            nonlocal done
            while time.perf_counter() < end:
                image = EncodedImage("image", files[index % len(files)])
                await service.inference.embed([image])
                done += begin <= time.perf_counter() <= end
                index += 1

        await asyncio.gather(*(keep_busy(n) for n in range(IN_FLIGHT)))
        return done / seconds


def measure(rounds: int, seconds: float) -> dict[str, Any]:
    """All rounds; every figure is the median over them."""
    begun = provenance("benchmarks.serving")
    files, images = load_photos(PHOTOS)
    inside: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    outside: dict[int, list[dict[str, Any]]] = {level: [] for level in CONCURRENCIES}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds} …", file=sys.stderr)
        for batch in BATCHES:
            inside[batch].append(asyncio.run(in_process(files, batch, seconds)))
        with server(cache_bytes="0") as service:
            load(service.port, WARM_UP_SECONDS, "--concurrency", str(max(CONCURRENCIES)))
            for level in CONCURRENCIES:
                options = ("--concurrency", str(level), "--warm-up", str(WARM_UP_SECONDS))
                found = load(service.port, seconds, *options)
                outside[level].append(found)
    by_batch = {batch: statistics.median(values) for batch, values in inside.items()}
    best = max(by_batch, key=lambda batch: by_batch[batch])
    return {
        **begun,
        "images": images,
        "rounds": rounds,
        "seconds": seconds,
        "in_process": {
            "images_per_second_by_batch": by_batch,
            "best_batch": best,
            "images_per_second": by_batch[best],
        },
        "http": {level: _summary(found, by_batch[best]) for level, found in outside.items()},
    }


def _summary(rounds: list[dict[str, Any]], limit: float) -> dict[str, Any]:
    found = medians(rounds, ("images_per_second", "p50_ms", "p99_ms", "client_cpu_ms"))
    return {**found, "ratio": found["images_per_second"] / limit}


def report(result: dict[str, Any]) -> str:
    """The figures as a table."""
    inside = result["in_process"]
    best = inside["best_batch"]
    lines = [heading(result), result["images"]]
    lines += ["", "in process, decode + forward:"]
    for batch, rate in inside["images_per_second_by_batch"].items():
        lines.append(f"  batch {batch:>2} {rate:8.1f} images/s{'  (best)' * (batch == best)}")
    lines += [
        "",
        "POST /embed      images/s   ratio   p50 ms   p99 ms   client CPU ms   failures   overdue",
    ]
    for level, row in result["http"].items():
        lines.append(
            f"  concurrency {level:>3} {row['images_per_second']:8.1f} {row['ratio']:7.2f} "
            f"{shown(row['p50_ms'], 1):>8} {shown(row['p99_ms'], 1):>8} "
            f"{row['client_cpu_ms']:12.2f} {row['failures']:10} {row['overdue']:9}"
        )
    return "\n".join(lines)


def main() -> None:
    """Runs, prints, and writes JSON if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    add_outputs(parser)
    options = parser.parse_args()
    exit_on_signals()
    threadpool_limits(1, user_api="blas")  # In process as in the service.
    result = measure(options.rounds, options.seconds)
    print(report(result))
    write_outputs(options, result)


if __name__ == "__main__":
    main()
