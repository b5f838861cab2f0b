"""What is swept: batch, image size, models, candidates. Each gives a row of figures a point."""

import contextlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np

from app.inference.engines import make_engine
from app.settings import Settings
from benchmarks.growth import bodies
from benchmarks.growth.rounds import Effort, Figures, interleaved
from benchmarks.photos import load_photos
from benchmarks.service import load, server
from benchmarks.throughput import Contender
from model_store import ModelStore
from model_store.images import decode
from model_store.preprocessing import prepare
from model_store.shipped import SHIPPED

BATCHES = (1, 2, 4, 8, 16, 32)
SIDES = (100, 200, 400, 800, 1600, 2400, 4000)
MODELS = (1, 2, 4, 8)
CANDIDATES = (1, 10, 100, 1000, 10_000)
WIDE, NARROW = "photos", "glyphs"
"""The shipped models with 1,280 and with 256 values."""

IN_FLIGHT = 8
_WARM_UP = "0.3"
_PHOTOS = 32
_FILES_A_SIZE = 3

Rows = list[dict[str, Any]]


def requested(
    port: int, folder: Path, seconds: float, in_flight: int, images: int = 1
) -> dict[str, float]:
    """Images/s and latency of the requests in a folder.

    Args:
        port: Of the server.
        folder: Holds the requests.
        seconds: How long.
        in_flight: How many at a time.
        images: In each request.

    Raises:
        RuntimeError: Some were refused, or none was answered.
    """
    found = load(
        port,
        seconds,
        *("--requests", str(folder), "--concurrency", str(in_flight), "--warm-up", _WARM_UP),
    )
    if found["failures"] or found["p50_ms"] is None:
        raise RuntimeError(
            f"requests of {folder.name} failed, or none was answered within {seconds:g} s: {found}"
        )
    # One at a time, the part of a request that the end cuts off would count for much.
    rate = 1000 / found["p50_ms"] if in_flight == 1 else found["images_per_second"]
    return {
        "images_per_second": images * rate,
        "p50_ms": found["p50_ms"],
        "p99_ms": found["p99_ms"],
    }


def by_batch(effort: Effort, folder: Path) -> Rows:
    """The engine alone, and `/embed` with so many files in each request, one at a time.

    The engine's images/s are of as many batches at once as the service gives it, its milliseconds
    those of one batch alone.
    """
    settings = Settings()
    files, _ = load_photos(_PHOTOS)
    for size in BATCHES:
        starts = range(0, _PHOTOS, size)
        bodies.write(
            folder / f"batch-{size}", [bodies.embed(files[at : at + size]) for at in starts]
        )
    checkpoint = ModelStore(SHIPPED).load(WIDE)
    images = np.stack([prepare(decode(f), checkpoint.manifest.preprocessing) for f in files])
    engine = make_engine(
        checkpoint,
        engine=settings.engine,
        device="cpu",
        precision=settings.precision,
        cache=settings.engine_cache,
    )
    engine.warm_up(max(BATCHES))
    contender = Contender.of(engine)

    with server(cache_bytes="0") as service:

        def measure(size: int) -> Figures:
            rate = contender.rate(images[:size], effort.seconds / 2)
            alone = Contender(contender.forward).rate(images[:size], effort.seconds / 2)
            sent = requested(service.port, folder / f"batch-{size}", effort.seconds, 1, images=size)
            return {
                "engine_images_per_second": rate,
                "engine_ms": 1000 * size / alone,
                **sent,
            }

        found = interleaved("batch", BATCHES, measure, effort.rounds)
    engine.close()
    return [{"batch": point, **row} for point, row in found.items()]


def by_size(effort: Effort, folder: Path) -> Rows:
    """`/embed` of one JPEG a request, alone and eight at a time, by the longer side in pixels."""
    photos, _ = load_photos(_FILES_A_SIZE)
    kilobytes = {}
    for side in SIDES:
        files = [bodies.enlarged(photo, side, seed) for seed, photo in enumerate(photos)]
        kilobytes[side] = sum(map(len, files)) / len(files) / 1000
        bodies.write(folder / f"size-{side}", [bodies.embed_raw(file) for file in files])
    with server(cache_bytes="0") as service:

        def measure(side: int) -> Figures:
            sent = folder / f"size-{side}"
            alone = requested(service.port, sent, effort.seconds, 1)
            several = requested(service.port, sent, effort.seconds, IN_FLIGHT)
            return {**several, "alone_p50_ms": alone["p50_ms"]}

        found = interleaved("size", SIDES, measure, effort.rounds)
    return [{"side": point, "kilobytes": kilobytes[point], **row} for point, row in found.items()]


def by_models(effort: Effort, folder: Path) -> Rows:
    """`/embed` spread evenly over so many models, each a copy of `photos`, eight at a time."""
    photos, _ = load_photos(_PHOTOS)
    checkpoint = ModelStore(SHIPPED).load(WIDE)
    manifest = checkpoint.manifest
    for count in MODELS:
        store = ModelStore(folder / f"store-{count}")
        names = [f"copy{number}" for number in range(count)]
        for name in names:
            store.save(
                name,
                checkpoint.network,
                calibration=manifest.calibration,
                typicality=checkpoint.typicality,
                probe=checkpoint.reference,
            )
        sent = [
            bodies.embed_raw(photo, name)
            for photo, name in zip(photos, itertools.cycle(names), strict=False)
        ]
        bodies.write(folder / f"models-{count}", sent)
    with contextlib.ExitStack() as stack:
        services = {}
        for count in MODELS:
            store_folder = str(folder / f"store-{count}")
            chosen = server(cache_bytes="0", model_store=store_folder, default_model="copy0")
            services[count] = stack.enter_context(chosen)
            services[count].processes.freeze()

        def measure(count: int) -> Figures:
            service = services[count]
            service.processes.thaw()
            figures = requested(service.port, folder / f"models-{count}", effort.seconds, IN_FLIGHT)
            megabytes = service.processes.resident_bytes() / 1e6
            service.processes.freeze()
            return {**figures, "resident_megabytes": megabytes}

        found = interleaved("models", MODELS, measure, effort.rounds)
        starts = {count: service.start_seconds for count, service in services.items()}
    return [
        {"models": point, "start_seconds": starts[point], **row} for point, row in found.items()
    ]


def by_candidates(effort: Effort, folder: Path) -> Rows:
    """`/compare/many` with embeddings as candidates, one request at a time.

    The query is a JPEG that the service has seen, so that its embedding comes from the cache; what
    `/embed` of it takes is told apart from the rest.
    """
    (photo, *_), _ = load_photos(2)
    random = np.random.default_rng(0)
    widths = {name: ModelStore(SHIPPED).manifest(name).dimension for name in (WIDE, NARROW)}
    for name, width in widths.items():
        bodies.write(folder / f"query-{name}", [bodies.embed_raw(photo, name)])
        for count in CANDIDATES:
            rows = random.standard_normal((count, width), dtype=np.float32)
            sent = bodies.compare_many(photo, rows, name)
            bodies.write(folder / f"candidates-{name}-{count}", [sent])
    table: Rows = []
    with server() as service:
        for name, width in widths.items():

            def measure(count: int, name: str = name) -> Figures:
                known = requested(service.port, folder / f"query-{name}", effort.seconds / 3, 1)
                sent = folder / f"candidates-{name}-{count}"
                found = requested(service.port, sent, effort.seconds, 1)
                return {
                    "p50_ms": found["p50_ms"],
                    "p99_ms": found["p99_ms"],
                    "beyond_the_query_ms": found["p50_ms"] - known["p50_ms"],
                }

            found = interleaved(f"candidates, {name}", CANDIDATES, measure, effort.rounds)
            table += [
                {"model": name, "dimension": width, "candidates": point, **row}
                for point, row in found.items()
            ]
    return table


SWEEPS = {
    "batch": by_batch,
    "size": by_size,
    "models": by_models,
    "candidates": by_candidates,
}
"""What can be swept, by name."""
