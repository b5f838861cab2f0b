"""Overload, endurance, and clients that misbehave."""

import asyncio
import math
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from statistics import median

from benchmarks.connection import HOST, Connection
from benchmarks.load import percentile
from torture import livez
from torture.client import (
    Requests,
    Tally,
    closed_loop,
    distinct,
    one,
    open_loop,
    picture,
    repeating,
)
from torture.outcome import Outcome
from torture.scale import Scale
from torture.server import Server, serving

_DEADLINE = 10.0
_SMALL_CACHE = 4 * 1024 * 1024
_ROUNDS = 3
_STRETCH = 10.0
_STRETCHES = 7
_DROPPED = ("twinlens_dropped_images", "where")


def overload(scale: Scale, folder: Path) -> Outcome:
    """Ten times more requests than can be served.

    One thread computes, so that another core is left to the load, which has to be made here too.
    There is a cache, as by default, but small, so that it is full before memory is looked at; and
    no image comes twice.
    """
    outcome = Outcome("Ten times more load than can be served")
    requests = distinct([picture(seed, (320, 240)) for seed in range(64)])
    settings = {
        "model_store": folder / "photos",
        "cache_bytes": _SMALL_CACHE,
        "compute_threads": 1,
        "decode_threads": 1,
        "queue_images": 64,
        "max_images": 64,
        "request_timeout": _DEADLINE,
    }
    with serving(folder, **settings) as server:
        asyncio.run(_overload(scale, server, requests, outcome))
    return outcome


async def _overload(scale: Scale, server: Server, requests: Requests, out: Outcome) -> None:
    port = server.port
    await closed_loop(port, requests, 32, seconds=5)
    alone = (await closed_loop(port, requests, 1, seconds=5)).seconds
    before = await _maximum(port, requests)
    warm = server.usage().memory
    seconds = scale.overload_seconds
    asking = await livez.begin(port, seconds)
    tally = await open_loop(port, requests, 10 * before, seconds)
    flat = server.usage().memory
    ended = time.perf_counter()
    normal = percentile(alone, 0.5)
    back = Tally()
    connection = Connection(port)
    while time.perf_counter() - ended < 30:
        await one(connection, requests(0), back)
        if back.seconds and back.seconds[-1] <= 2 * normal:
            break
    recovered = time.perf_counter() - ended
    connection.close()
    after = await _maximum(port, requests)
    goodput = tally.statuses[200] / seconds
    offered = sum(tally.statuses.values()) / seconds
    shares = await _shares(port, requests, 10 * before)
    p99 = percentile(tally.seconds, 0.99)
    out.add("served unloaded, before and after", f"{before:.1f} and {after:.1f} images/s")
    out.add("offered", f"{offered:.0f} requests/s for {seconds} s ({offered / before:.1f} times)")
    out.add(
        "answers by status",
        dict(sorted(tally.statuses.items())),
        "only 200 and 429",
        met=set(tally.statuses) <= {200, 429},
    )
    out.add("goodput in that time", f"{goodput:.1f} images/s")
    out.add(
        f"goodput in stretches of {_STRETCH:.0f} s, to what is served unloaded around each",
        " ".join(f"{100 * share:.0f}" for share in shares) + " %",
        "at least 90 %, in the median",
        met=median(shares) >= 0.9,
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
    live = await livez.end(asking)
    slow = percentile([math.inf if one is None else one for one in live], 0.99)
    out.add(
        "/livez meanwhile, p99",
        f"{1000 * slow:.0f} ms of {len(live)}, each over a new connection",
        "100 ms",
        met=slow <= 0.1,
    )


async def _shares(port: int, requests: Requests, rate: float) -> list[float]:
    """Goodput under overload to what is served without, in stretches that take turns.

    The machine has others to serve, and its own speed changes from one minute to the next: a
    stretch is held against what comes right before and after it.
    """
    unloaded = [await _maximum(port, requests)]
    loaded = []
    for _ in range(_STRETCHES):
        tally = await open_loop(port, requests, rate, _STRETCH)
        loaded.append(tally.statuses[200] / _STRETCH)
        unloaded.append(await _maximum(port, requests))
    around = [(one + other) / 2 for one, other in pairwise(unloaded)]
    return [good / most for good, most in zip(loaded, around, strict=True)]


async def _maximum(port: int, requests: Requests) -> float:
    tally = await closed_loop(port, requests, 32, seconds=_STRETCH)
    return len(tally.seconds) / _STRETCH


def endurance(scale: Scale, folder: Path) -> Outcome:
    """Many requests with the cache off, in which nothing may pile up."""
    outcome = Outcome(f"{scale.requests:,} requests at full load, cache off")
    requests = repeating([picture(seed) for seed in range(64)])
    with serving(folder, model_store=folder / "glyphs", cache_bytes=0) as server:
        asyncio.run(closed_loop(server.port, requests, 16, total=max(500, scale.requests // 10)))
        before = server.settled()
        tally = asyncio.run(closed_loop(server.port, requests, 16, total=scale.requests))
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
    with serving(folder, **settings) as server:
        asyncio.run(_bad_clients(scale, server, outcome))
    return outcome


async def _bad_clients(scale: Scale, server: Server, out: Outcome) -> None:
    port, seconds = server.port, scale.steady_seconds / _ROUNDS
    requests = repeating([picture(seed) for seed in range(64)])
    await closed_loop(port, requests, 2, seconds=3)
    # The first to ask has a thread started, which stays.
    server.counted(*_DROPPED)
    before = server.settled()
    for name, count, at_once, misbehave in (
        ("leave half-way", scale.leavers, scale.leavers // _ROUNDS, _leave),
        ("send everything and leave", scale.leavers, scale.leavers // _ROUNDS, _turn_away),
        ("send a byte a second", scale.slow, scale.slow, _dawdle),
    ):
        dropped = server.counted(*_DROPPED)
        calm = [await closed_loop(port, requests, 2, seconds=seconds)]
        busy = []
        for _ in range(_ROUNDS):
            waits = [seconds * n / at_once for n in range(at_once)]
            bad = asyncio.gather(*(misbehave(port, requests(0), wait, seconds) for wait in waits))
            busy.append(await closed_loop(port, requests, 2, seconds=seconds))
            await bad
            calm.append(await closed_loop(port, requests, 2, seconds=seconds))
        tails = [percentile(tally.seconds, 0.99) for tally in busy]
        usual = [percentile(tally.seconds, 0.99) for tally in calm]
        # Each against those around it, because the machine has others to serve.
        around = pairwise(usual)
        costs = [2 * tail / sum(pair) for tail, pair in zip(tails, around, strict=True)]
        statuses = sum((tally.statuses for tally in busy), Counter())
        out.add(
            f"p99 of a good client beside {count} that {name}",
            f"{1000 * median(tails):.1f} ms; alone {1000 * median(usual):.1f} ms; "
            + " ".join(f"{100 * (cost - 1):+.0f}" for cost in costs)
            + " %",
            "within 20 %, in the median",
            met=median(costs) <= 1.2,
        )
        out.add("its answers", dict(statuses), "only 200", met=set(statuses) == {200})
        out.add(
            "images of theirs that were dropped, by how far they had come",
            dict(server.counted(*_DROPPED) - dropped) or "none",
        )
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


async def _turn_away(port: int, request: bytes, wait: float, seconds: float) -> None:
    del seconds
    await asyncio.sleep(wait)
    _, writer = await asyncio.open_connection(HOST, port)
    # Whatever can be written at once is: the request is small enough to be sent whole.
    writer.write(request)
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
