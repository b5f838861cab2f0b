"""Requests one at a time, as many at once as wanted, or as many a second."""

import asyncio
import io
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from PIL import Image

from benchmarks.connection import BROKEN, Connection, Pool
from benchmarks.load import Message

_COUNTER_BYTES = 8


def picture(seed: int, size: tuple[int, int] = (96, 96)) -> bytes:
    """A smooth picture, another for every seed, as JPEG."""
    values = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return buffer.getvalue()


Requests = Callable[[int], bytes]
"""What is sent n-th."""


def repeating(images: list[bytes]) -> Requests:
    """Requests for each of the images in turn."""
    requests = [embed_request(image) for image in images]
    return lambda number: requests[number % len(requests)]


def distinct(images: list[bytes]) -> Requests:
    """Requests for each of the images in turn, no two of the same bytes, so that none is cached."""
    # Whatever follows the end of a JPEG, decoders leave alone.
    requests = [embed_request(image + bytes(_COUNTER_BYTES)) for image in images]
    numbers = count()

    def request(number: int) -> bytes:
        counter = next(numbers).to_bytes(_COUNTER_BYTES, "big")
        return requests[number % len(requests)][:-_COUNTER_BYTES] + counter

    return request


def embed_request(image: bytes) -> bytes:
    """`POST /embed` with one image as the body."""
    accept = "Accept: application/octet-stream\r\n"
    return Message("/embed", "image/jpeg", image, accept).encode()


@dataclass
class Tally:
    """What came of requests.

    Attributes:
        seconds: Latencies of those answered 200.
        statuses: How many of each; 0 stands for a connection that broke.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)


async def one(connection: Connection, request: bytes, tally: Tally) -> None:
    """Sends a request and writes down what came of it."""
    started = time.perf_counter()
    try:
        status = await connection.send(request)
    except BROKEN:
        status = 0
    tally.statuses[status] += 1
    if status == 200:
        tally.seconds.append(time.perf_counter() - started)


async def closed_loop(
    port: int,
    requests: Requests,
    at_once: int,
    *,
    seconds: float | None = None,
    total: int | None = None,
) -> Tally:
    """Keeps so many requests in flight, for a time or up to a number of them."""
    tally = Tally()
    end = None if seconds is None else time.perf_counter() + seconds
    sent = 0

    async def client() -> None:
        nonlocal sent
        connection = Connection(port)
        while (end is None or time.perf_counter() < end) and (total is None or sent < total):
            sent += 1
            await one(connection, requests(sent), tally)
        connection.close()

    await asyncio.gather(*(client() for _ in range(at_once)))
    return tally


async def open_loop(port: int, requests: Requests, rate: float, seconds: float) -> Tally:
    """Sends so many requests a second, whatever becomes of them."""
    tally = Tally()
    pool = Pool(port)
    tasks: set[asyncio.Task[None]] = set()

    async def send(request: bytes) -> None:
        connection = pool.take()
        await one(connection, request, tally)
        pool.give(connection)

    started = time.perf_counter()
    sent = 0
    while (elapsed := time.perf_counter() - started) < seconds:
        while sent < elapsed * rate:
            task = asyncio.create_task(send(requests(sent)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(0.005)
    await asyncio.gather(*tasks)
    pool.close()
    return tally
