"""`python -m benchmarks.deployment.capacity`: replicas measured, beside what the simulation says.

A replica is measured with one request at a time and with many, in CPU time, which other work on
the machine lengthens little: this gives the time for a batch and for an image. Then 1, 2 and 4
replicas are loaded, and the simulation says what they should do on as many CPUs as they got while
they had more to do than they could. All share the machine with the balancer and the load generator:
a replica gets a whole CPU while there are enough, and its share where there are not.
"""

import argparse
import asyncio
import sys
from dataclasses import dataclass

from benchmarks.connection import Connection
from benchmarks.deployment.queueing import Replica, arrivals, simulate
from benchmarks.deployment.stack import Stack
from benchmarks.deployment.steady import Sample, SteadyLoad, latency, pairs
from benchmarks.load import closed_loop, percentile
from model_store.cpus import available_cpus

_MAX_BATCH = 8
_LOAD = 0.5
_AT_REST = 40


@dataclass(frozen=True)
class Row:
    """So many replicas, measured and simulated.

    Attributes:
        replicas: How many.
        cpus: CPUs that they got together, with more to do than they could.
        replica_seconds: CPU time of the replicas for a comparison then.
        balancer_seconds: CPU time of the balancer for a comparison then.
        capacity: Comparisons a second at most: measured, simulated.
        rate: Comparisons a second of the steady load.
        median: Latency in seconds at that load: measured, simulated.
        p99: Likewise.
        lost: Requests lost under that load.
    """

    replicas: int
    cpus: float
    replica_seconds: float
    balancer_seconds: float
    capacity: tuple[float, float]
    rate: float
    median: tuple[float, float]
    p99: tuple[float, float]
    lost: int


@dataclass(frozen=True)
class _Busy:
    """What came of having more to do than possible: per second, and in CPU time of each."""

    rate: float
    replicas: float
    balancer: float


async def _busy(stack: Stack, requests: list[bytes], in_flight: int, seconds: float) -> _Busy:
    async def used() -> tuple[float, float]:
        return await stack.cpu_seconds("app"), await stack.cpu_seconds("balancer")

    before = await used()
    done = await closed_loop(stack.port, requests, in_flight, seconds)
    after = await used()
    return _Busy(len(done.seconds) / seconds, after[0] - before[0], after[1] - before[1])


async def _at_rest(stack: Stack, requests: list[bytes]) -> float:
    """CPU time of a replica for one comparison at a time."""
    connection = Connection(stack.port)
    before = await stack.cpu_seconds("app")
    for number in range(_AT_REST):
        await connection.send(requests[number % len(requests)])
    connection.close()
    return (await stack.cpu_seconds("app") - before) / _AT_REST


async def _steady(stack: Stack, rate: float, seconds: float) -> list[Sample]:
    async with SteadyLoad(stack.port, rate, pairs()) as load:
        await asyncio.sleep(seconds)
    return load.samples


def fit(at_rest: float, capacity: float) -> Replica:
    """The replica that takes so long for a lone comparison and does so many a second at most.

    Args:
        at_rest: Seconds, for the two images of a comparison.
        capacity: Comparisons a second, in full batches.
    """
    # at_rest = batch + 2 image; full batches: batch + 8 image = 8 / (2 capacity).
    full = _MAX_BATCH / (2 * capacity)
    image = (full - at_rest) / (_MAX_BATCH - 2)
    image = min(max(image, 0.0), at_rest / 2)
    return Replica(at_rest - 2 * image, image, _MAX_BATCH)


async def measure(counts: list[int], seconds: float) -> tuple[Replica, list[Row]]:
    """Measures one replica, and then so many at a time."""
    available = available_cpus()
    requests = pairs()
    rows: list[Row] = []
    replica: Replica | None = None
    for count in counts:
        share = min(1.0, available / count)
        stack = Stack({"TWINLENS_CPUS": f"{share:g}", "TWINLENS_REPLICAS": str(count)})
        try:
            await stack.scale(count)
            await asyncio.sleep(3)
            await closed_loop(stack.port, requests, 8 * count, 3)
            busy = await _busy(stack, requests, 8 * count, seconds)
            cost = busy.replicas / (busy.rate * seconds)
            if replica is None:
                replica = fit(await _at_rest(stack, requests), 1 / cost)
            cpus = busy.replicas / seconds
            slowed = replica.slowed(count / cpus)
            expected = count * slowed.capacity()
            rate = _LOAD * expected
            samples = await _steady(stack, rate, 2 * seconds)
        finally:
            await stack.down()
        predicted = simulate(slowed, count, arrivals(rate, 5000, None))
        rows.append(
            Row(
                count,
                cpus,
                cost,
                busy.balancer / (busy.rate * seconds),
                (busy.rate, expected),
                rate,
                (latency(samples, 0.5), percentile(predicted, 0.5)),
                (latency(samples, 0.99), percentile(predicted, 0.99)),
                sum(sample.lost for sample in samples),
            )
        )
        print(rows[-1], file=sys.stderr)
    if replica is None:
        raise ValueError("measure needs at least one number of replicas")
    return replica, rows


def table(replica: Replica, rows: list[Row]) -> str:
    """The outcome as Markdown."""
    found = (
        f"A replica takes {1000 * replica.batch_seconds:.1f} ms of CPU time for a batch and "
        f"{1000 * replica.image_seconds:.1f} ms for each image."
    )
    head = (
        "| Replicas | CPUs they got | CPU time of a comparison: replica, balancer "
        "| Comparisons/s at most: measured, simulated | Steady load "
        "| p50: measured, simulated | p99: measured, simulated | Lost |"
    )
    lines = [found, "", head, "|---|---|---|---|---|---|---|---|"]
    lines += [
        f"| {row.replicas} | {row.cpus:.2f} "
        f"| {1000 * row.replica_seconds:.1f}, {1000 * row.balancer_seconds:.1f} ms "
        f"| {row.capacity[0]:.1f}, {row.capacity[1]:.1f} | {row.rate:.1f}/s "
        f"| {1000 * row.median[0]:.0f}, {1000 * row.median[1]:.0f} ms "
        f"| {1000 * row.p99[0]:.0f}, {1000 * row.p99[1]:.0f} ms | {row.lost} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measures and prints. The image is that of `make deploy-check`."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.deployment.capacity", description=__doc__
    )
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    options = parser.parse_args()
    print(table(*asyncio.run(measure(options.replicas, options.seconds))))


if __name__ == "__main__":
    main()
