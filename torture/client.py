"""HTTP in as little code and time as can be: the load must not cost more than what it loads."""

import asyncio
import io
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

HOST = "127.0.0.1"


def picture(seed: int, size: tuple[int, int] = (96, 96), kind: str = "JPEG") -> bytes:
    """A smooth picture, another for every seed, as a file."""
    values = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).resize(size, Image.Resampling.BICUBIC).save(buffer, kind)
    return buffer.getvalue()


def embed_request(image: bytes) -> bytes:
    """`POST /embed` with one image as the body."""
    return (
        b"POST /embed HTTP/1.1\r\nHost: twinlens\r\nContent-Type: image/jpeg\r\n"
        b"Accept: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % len(image) + image
    )


class Connection:
    """One connection, opened when it is needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes) -> int:
        """The status of the answer; 0 if the connection broke."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(HOST, self._port)
            reader, writer = self._streams
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return 0
        if b"connection: close" in head:
            self.close()
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        """Ends the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@dataclass
class Tally:
    """What came of requests.

    Attributes:
        seconds: Latencies of those answered 200.
        statuses: How many of each.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)


async def one(connection: Connection, request: bytes, tally: Tally) -> None:
    """Sends a request and writes down what came of it."""
    started = time.perf_counter()
    status = await connection.send(request)
    tally.statuses[status] += 1
    if status == 200:
        tally.seconds.append(time.perf_counter() - started)


async def closed_loop(
    port: int,
    requests: list[bytes],
    at_once: int,
    *,
    seconds: float | None = None,
    count: int | None = None,
) -> Tally:
    """Keeps so many requests in flight, for a time or up to a number of them."""
    tally = Tally()
    end = None if seconds is None else time.perf_counter() + seconds
    sent = 0

    async def client() -> None:
        nonlocal sent
        connection = Connection(port)
        while (end is None or time.perf_counter() < end) and (count is None or sent < count):
            sent += 1
            await one(connection, requests[sent % len(requests)], tally)
        connection.close()

    await asyncio.gather(*(client() for _ in range(at_once)))
    return tally


async def open_loop(port: int, requests: list[bytes], rate: float, seconds: float) -> Tally:
    """Sends so many requests a second, whatever becomes of them."""
    tally = Tally()
    idle: list[Connection] = []
    tasks: set[asyncio.Task[None]] = set()

    async def send(request: bytes) -> None:
        connection = idle.pop() if idle else Connection(port)
        await one(connection, request, tally)
        idle.append(connection)

    started = time.perf_counter()
    sent = 0
    while (elapsed := time.perf_counter() - started) < seconds:
        while sent < elapsed * rate:
            task = asyncio.create_task(send(requests[sent % len(requests)]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(0.005)
    await asyncio.gather(*tasks)
    for connection in idle:
        connection.close()
    return tally
