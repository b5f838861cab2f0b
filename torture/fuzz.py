"""Hostile input: mutated files through the decoder and through HTTP, and schemathesis."""

import asyncio
import ctypes
import gc
import os
import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.connection import Connection
from model_store.cpus import available_cpus
from model_store.errors import ImageError
from model_store.images import decode_prepared
from model_store.preprocessing import Preprocessing
from torture.client import Tally, one
from torture.mutate import mutated, originals, request
from torture.outcome import Outcome
from torture.scale import Scale
from torture.server import serving

_PORTION = 5_000
_SLOW_SECONDS = 5.0
_ANSWERS = ("twinlens_requests", "status")
_SPEC = Preprocessing(height=48, width=48, mode="L", mean=(0.5,), std=(0.5,))


@dataclass
class _Portion:
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    worker: int = 0
    memory: float = 0.0


def decoder(scale: Scale, folder: Path) -> Outcome:
    """Mutated files through the decoder, which may give an image or an `ImageError` and no more."""
    del folder
    outcome = Outcome(f"{scale.decodes:,} mutated files through the decoder")
    starts = range(0, scale.decodes, _PORTION)
    portions: list[_Portion] = []
    try:
        with ProcessPoolExecutor(available_cpus()) as pool:
            stops = [min(start + _PORTION, scale.decodes) for start in starts]
            portions = list(pool.map(_decode_portion, starts, stops))
    except BrokenProcessPool:
        outcome.add("a process crashed", "yes", "no", met=False)
    counts: Counter[str] = sum((portion.counts for portion in portions), Counter())
    failures = [failure for portion in portions for failure in portion.failures]
    outcome.add(
        f"outcomes of seeds 0 to {scale.decodes - 1:,}",
        dict(counts.most_common()),
        "decoded, or an ImageError",
        met=not failures and sum(counts.values()) == scale.decodes,
    )
    for failure in failures[:10]:
        outcome.add("failure", failure, "none", met=False)
    slowest = max((portion.slowest for portion in portions), default=0.0)
    outcome.add(
        "the slowest", f"{slowest:.2f} s", f"{_SLOW_SECONDS:.0f} s", met=slowest <= _SLOW_SECONDS
    )
    growth = _growth(portions)
    outcome.add(
        "growth of a process after its first 5,000 files",
        f"{growth:+.1f} MiB",
        "16 MiB",
        met=growth <= 16,
    )
    return outcome


def _decode_portion(start: int, stop: int) -> _Portion:
    files = originals()
    portion = _Portion(worker=os.getpid())
    for seed in range(start, stop):
        data = mutated(files, seed)
        started = time.perf_counter()
        try:
            decode_prepared(data, _SPEC, max_pixels=1_000_000)
        except ImageError as error:
            portion.counts[type(error).__name__] += 1
        except Exception as error:
            portion.failures.append(f"seed {seed}: {error!r}")
        else:
            portion.counts["decoded"] += 1
        portion.slowest = max(portion.slowest, time.perf_counter() - started)
    gc.collect()
    # Free memory that the allocator keeps for later is no growth.
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    portion.memory = pages * os.sysconf("SC_PAGE_SIZE") / 1024**2
    return portion


def _growth(portions: list[_Portion]) -> float:
    """The most that a process has grown since its first portion, in MiB, at its last one."""
    first: dict[int, float] = {}
    last: dict[int, float] = {}
    for portion in portions:
        first.setdefault(portion.worker, portion.memory)
        last[portion.worker] = portion.memory
    return max((last[worker] - first[worker] for worker in first), default=0.0)


def http(scale: Scale, folder: Path) -> Outcome:
    """Mutated requests: every one is answered, and none with 500."""
    outcome = Outcome(f"{scale.posts:,} mutated requests through HTTP")
    files = originals()

    async def post(port: int) -> Tally:
        tally = Tally()

        async def client(number: int) -> None:
            connection = Connection(port)
            for seed in range(number, scale.posts, 8):
                await one(connection, request(files, seed), tally)
            connection.close()

        await asyncio.gather(*(client(number) for number in range(8)))
        return tally

    with serving(folder, model_store=folder / "glyphs", cache_bytes=0) as server:
        tally = asyncio.run(post(server.port))
        allowed = {200, 400, 413, 415, 422}
        outcome.add(
            "answers by status",
            dict(sorted(tally.statuses.items())),
            "only " + ", ".join(map(str, sorted(allowed))),
            met=set(tally.statuses) <= allowed,
        )
        outcome.add("ready afterwards", server.alive(), "yes", met=server.alive())
    return outcome


def schema(scale: Scale, folder: Path) -> Outcome:
    """Schemathesis against the OpenAPI document."""
    outcome = Outcome(f"schemathesis, {scale.examples} examples an operation")
    with serving(folder, model_store=folder / "glyphs") as server:
        before = server.counted(*_ANSWERS)
        command = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"http://127.0.0.1:{server.port}/openapi.json",
            "--checks",
            "not_a_server_error",
            "--max-examples",
            str(scale.examples),
            "--seed",
            "1",
            "--generation-database",
            "none",
            "--no-color",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        said = re.findall(r"(\d+) generated", done.stdout)
        outcome.add(
            "test cases", said[-1] if said else f"none (status {done.returncode})", met=bool(said)
        )
        # It also asks for an answer within 5e-324 s, and takes the 504 for a failure.
        statuses = dict(sorted((server.counted(*_ANSWERS) - before).items()))
        outcome.add(
            "answers by status, as the service counted them",
            statuses,
            "no 5xx but 504",
            met=not {status for status in statuses if status >= "500"} - {"504"},
        )
        outcome.add("ready afterwards", server.alive(), "yes", met=server.alive())
    return outcome
