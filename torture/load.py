"""Overload, endurance, and clients that misbehave."""

import asyncio
import time
from pathlib import Path

from benchmarks.connection import HOST, Connection
from torture.client import Tally, closed_loop, embed_request, one, open_loop, picture
from torture.outcome import Outcome, percentile
from torture.scale import Scale
from torture.server import Server, serving

_PORT = 8731
_DEADLINE = 10.0
_LIVEZ = b"GET /livez HTTP/1.1\r\nHost: twinlens\r\n\r\n"


def overload(scale: Scale, folder: Path) -> Outcome:
    """Ten times more requests than can be served.

    One thread computes, so that another core is left to the load, which has to be made here too.
    """
    outcome = Outcome("Ten times more load than can be served")
    requests = [embed_request(picture(seed, (320, 240))) for seed in range(64)]
    settings = {
        "model_store": folder / "photos",
        "cache_bytes": 0,
        "compute_threads": 1,
        "decode_threads": 1,
        "queue_images": 64,
        "max_images": 64,
        "request_timeout": _DEADLINE,
    }
    with serving(folder, _PORT, **settings) as server:
        asyncio.run(_overload(scale, server, requests, outcome))
    return outcome


async def _overload(scale: Scale, server: Server, requests: list[bytes], out: Outcome) -> None:
    port = server.port
    await closed_loop(port, requests, 32, seconds=5)
    alone = (await closed_loop(port, requests, 1, seconds=5)).seconds
    before = await _maximum(port, requests)
    warm = server.usage().memory
    live = Tally()
    probing = asyncio.create_task(_probe(port, live))
    seconds = scale.overload_seconds
    tally = await open_loop(port, requests, 10 * before, seconds)
    probing.cancel()
    flat = server.usage().memory
    ended = time.perf_counter()
    normal = percentile(alone, 0.5)
    back = Tally()
    connection = Connection(port)
    while time.perf_counter() - ended < 30:
        await one(connection, requests[0], back)
        if back.seconds and back.seconds[-1] <= 2 * normal:
            break
    recovered = time.perf_counter() - ended
    connection.close()
    after = await _maximum(port, requests)
    # The machine has others to serve: what it could do is the mean of before and after.
    most = (before + after) / 2
    goodput = tally.statuses[200] / seconds
    offered = sum(tally.statuses.values()) / seconds
    p99 = percentile(tally.seconds, 0.99)
    out.add("served unloaded, before and after", f"{before:.1f} and {after:.1f} images/s")
    out.add("offered", f"{offered:.0f} requests/s for {seconds} s ({offered / most:.1f} times)")
    out.add(
        "answers by status",
        dict(sorted(tally.statuses.items())),
        "only 200 and 429",
        met=set(tally.statuses) <= {200, 429},
    )
    out.add(
        "goodput",
        f"{goodput:.1f} images/s, {100 * goodput / most:.0f} %",
        "at least 90 %",
        met=goodput >= 0.9 * most,
    )
    out.add(
        "p99 of what was accepted",
        f"{p99:.2f} s",
        f"within the deadline, {_DEADLINE:.0f} s",
        met=p99 <= _DEADLINE,
    )
    out.add(
        "memory",
        f"{warm:.0f} MiB before, {flat:.0f} at its end",
        "flat (within 5 %)",
        met=flat <= 1.05 * warm,
    )
    out.add("one request alone, median", f"{1000 * normal:.0f} ms")
    out.add("back to twice that", f"{recovered:.1f} s after", "within 5 s", met=recovered <= 5)
    slow = percentile(live.seconds, 0.99)
    out.add(
        "/livez meanwhile, p99",
        f"{1000 * slow:.0f} ms of {len(live.seconds)}",
        "100 ms",
        met=slow <= 0.1,
    )


async def _maximum(port: int, requests: list[bytes]) -> float:
    seconds = 10.0
    return len((await closed_loop(port, requests, 32, seconds=seconds)).seconds) / seconds


async def _probe(port: int, tally: Tally) -> None:
    connection = Connection(port)
    while True:
        await one(connection, _LIVEZ, tally)
        await asyncio.sleep(0.1)


def endurance(scale: Scale, folder: Path) -> Outcome:
    """Many requests with the cache off, in which nothing may pile up."""
    outcome = Outcome(f"{scale.requests:,} requests at full load, cache off")
    requests = [embed_request(picture(seed)) for seed in range(64)]
    with serving(folder, _PORT + 1, model_store=folder / "glyphs", cache_bytes=0) as server:
        asyncio.run(closed_loop(server.port, requests, 16, count=max(500, scale.requests // 10)))
        before = server.settled()
        tally = asyncio.run(closed_loop(server.port, requests, 16, count=scale.requests))
        after = server.settled()
    growth = after.memory / before.memory - 1
    outcome.add(
        "answers by status", dict(tally.statuses), "only 200", met=set(tally.statuses) == {200}
    )
    outcome.add(
        "memory",
        f"{before.memory:.1f} MiB, then {after.memory:.1f} ({100 * growth:+.2f} %)",
        "grows by less than 2 %",
        met=growth < 0.02,
    )
    outcome.add(
        "file descriptors",
        f"{before.files}, then {after.files}",
        "as before",
        met=after.files <= before.files,
    )
    outcome.add(
        "threads",
        f"{before.threads}, then {after.threads}",
        "as before",
        met=after.threads <= before.threads,
    )
    return outcome


def bad_clients(scale: Scale, folder: Path) -> Outcome:
    """Clients that leave half-way and clients that send a byte a second, beside a good one."""
    outcome = Outcome("Clients that leave, and clients that are slow")
    settings = {"model_store": folder / "glyphs", "cache_bytes": 0, "request_timeout": 10}
    with serving(folder, _PORT + 2, **settings) as server:
        asyncio.run(_bad_clients(scale, server, outcome))
    return outcome


async def _bad_clients(scale: Scale, server: Server, out: Outcome) -> None:
    port, seconds = server.port, scale.steady_seconds
    requests = [embed_request(picture(seed)) for seed in range(64)]
    await closed_loop(port, requests, 2, seconds=3)
    before = server.settled()
    for name, count, misbehave in (
        ("leave half-way", scale.leavers, _leave),
        ("send a byte a second", scale.slow, _dawdle),
    ):
        first = await closed_loop(port, requests, 2, seconds=seconds)
        bad = asyncio.gather(
            *(misbehave(port, requests[0], seconds * n / count, seconds) for n in range(count))
        )
        beside = await closed_loop(port, requests, 2, seconds=seconds)
        await bad
        last = await closed_loop(port, requests, 2, seconds=seconds)
        calm = (percentile(first.seconds, 0.99) + percentile(last.seconds, 0.99)) / 2
        busy = percentile(beside.seconds, 0.99)
        out.add(
            f"p99 of a good client beside {count} that {name}",
            f"{1000 * busy:.1f} ms; alone {1000 * calm:.1f} ms ({100 * (busy / calm - 1):+.0f} %)",
            "within 20 %",
            met=busy <= 1.2 * calm,
        )
        out.add("its answers", dict(beside.statuses), "only 200", met=set(beside.statuses) == {200})
    after = server.settled()
    out.add(
        "file descriptors and threads",
        f"{before.files}/{before.threads}, then {after.files}/{after.threads}",
        "as before",
        met=after.files <= before.files and after.threads <= before.threads,
    )
    out.add("ready afterwards", server.alive(), "yes", met=server.alive())


async def _leave(port: int, request: bytes, wait: float, seconds: float) -> None:
    del seconds
    await asyncio.sleep(wait)
    _, writer = await asyncio.open_connection(HOST, port)
    # Some leave in the headers, some in the middle of the body, some just before its end.
    cut = (40, len(request) // 2, len(request) - 1)[int(wait * 1000) % 3]
    writer.write(request[:cut])
    await asyncio.sleep(0.01)
    writer.transport.abort()


async def _dawdle(port: int, request: bytes, wait: float, seconds: float) -> None:
    await asyncio.sleep(wait % 1)
    _, writer = await asyncio.open_connection(HOST, port)
    start = request.index(b"\r\n\r\n") + 4 if int(wait * 1000) % 2 else 20
    end = time.perf_counter() + seconds
    writer.write(request[:start])
    while time.perf_counter() < end and not writer.transport.is_closing():
        writer.write(request[start : start + 1])
        start += 1
        await asyncio.sleep(1)
    writer.transport.abort()
