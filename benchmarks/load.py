"""The load generator: a process of its own that sends requests and prints what came of them.

`python -m benchmarks.load PORT SECONDS --concurrency N` keeps that many requests in flight, each on
a connection of its own (closed loop); `--rate R` sends R requests a second whatever becomes of them
(open loop), and counts latency from when each should have been sent, so that a stall is not hidden.
It prints one JSON object.
"""

import argparse
import asyncio
import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.connection import BROKEN, Connection
from benchmarks.photos import load_photos

PHOTOS = 64
_OPEN_CONNECTIONS = 128


@dataclass
class Tally:
    """What came of the requests.

    Attributes:
        seconds: Latencies of those answered 200 within the measured time.
        failures: Others, by status.
    """

    seconds: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)

    def add(self, status: str, seconds: float, *, in_time: bool) -> None:
        """Counts an answer."""
        if status != "200":
            self.failures[status] = self.failures.get(status, 0) + 1
        elif in_time:
            self.seconds.append(seconds)


def _raw(image: bytes) -> tuple[str, str, bytes]:
    return "/embed", "image/jpeg", image


def _base64(image: bytes) -> tuple[str, str, bytes]:
    body = json.dumps({"image": base64.b64encode(image).decode()})
    return "/embed", "application/json", body.encode()


def _v2(image: bytes) -> tuple[str, str, bytes]:
    content = base64.b64encode(image).decode()
    tensor = {"name": "image", "shape": [1, 1], "datatype": "BYTES", "data": [content]}
    body = json.dumps({"inputs": [tensor]}).encode()
    return "/v2/models/photos/infer", "application/json", body


BODIES: dict[str, Callable[[bytes], tuple[str, str, bytes]]] = {
    "raw": _raw,
    "base64": _base64,
    "v2": _v2,
}
"""How a server takes an image: path, media type and body."""


def requests(kind: str) -> list[bytes]:
    """One HTTP request for each photo."""
    made = []
    for file in load_photos(PHOTOS)[0]:
        path, media_type, body = BODIES[kind](file)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: twinlens\r\nContent-Type: {media_type}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


async def _send(connection: Connection, request: bytes) -> str:
    """The status of the answer, or the error that came instead."""
    try:
        return str(await connection.send(request))
    except BROKEN as error:
        return type(error).__name__


async def closed_loop(port: int, made: list[bytes], concurrency: int, seconds: float) -> Tally:
    """As many requests in flight as are wanted, for so many seconds."""
    tally = Tally()
    end = time.perf_counter() + seconds

    async def client(index: int) -> None:
        connection = Connection(port)
        while (started := time.perf_counter()) < end:
            status = await _send(connection, made[index % len(made)])
            index += 1
            now = time.perf_counter()
            tally.add(status, now - started, in_time=now <= end)
        connection.close()

    step = len(made) / concurrency
    await asyncio.gather(*(client(int(n * step)) for n in range(concurrency)))
    return tally


async def open_loop(port: int, made: list[bytes], rate: float, seconds: float) -> Tally:
    """Requests at even intervals, for so many seconds; then waits for the answers."""
    tally = Tally()
    connections = asyncio.Queue[Connection]()
    for _ in range(_OPEN_CONNECTIONS):
        connections.put_nowait(Connection(port))

    async def one(index: int, due: float) -> None:
        # Waiting for a connection counts: the request is due, and nothing has come of it.
        connection = await connections.get()
        status = await _send(connection, made[index % len(made)])
        connections.put_nowait(connection)
        tally.add(status, time.perf_counter() - due, in_time=True)

    start = time.perf_counter()
    tasks = []
    for index in range(int(rate * seconds)):
        due = start + index / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(index, due)))
    await asyncio.gather(*tasks)
    while not connections.empty():
        connections.get_nowait().close()
    return tally


async def measure(
    port: int, seconds: float, *, concurrency: int = 1, rate: float | None = None, kind: str = "raw"
) -> dict[str, object]:
    """Loads a server for so many seconds.

    Args:
        port: Where it listens.
        seconds: How long.
        concurrency: Requests in flight at any time, unless a rate is given.
        rate: Requests a second.
        kind: One of `BODIES`.

    Returns:
        Images a second, median and 99th percentile latency in ms, failures by status, and the
        CPU time this process took a request, in ms.
    """
    made = requests(kind)
    cpu = time.process_time()
    if rate is None:
        tally = await closed_loop(port, made, concurrency, seconds)
    else:
        tally = await open_loop(port, made, rate, seconds)
    cpu = time.process_time() - cpu
    ordered = sorted(tally.seconds)
    done = len(ordered)
    return {
        "images_per_second": done / seconds,
        "p50_ms": 1000 * ordered[done // 2] if done else None,
        "p99_ms": 1000 * ordered[min(done - 1, int(done * 0.99))] if done else None,
        "failures": tally.failures,
        "client_cpu_ms": 1000 * cpu / max(1, done),
    }


def measure_in_process(port: int, seconds: float, *, kind: str) -> dict[str, object]:
    """One request at a time, from this process."""
    return asyncio.run(measure(port, seconds, kind=kind))


def main() -> None:
    """Loads a server as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--concurrency", type=int, default=1, metavar="N")
    parser.add_argument("--rate", type=float, metavar="R")
    parser.add_argument("--kind", choices=sorted(BODIES), default="raw")
    options = parser.parse_args()
    found = measure(
        options.port,
        options.seconds,
        concurrency=options.concurrency,
        rate=options.rate,
        kind=options.kind,
    )
    print(json.dumps(asyncio.run(found)))


if __name__ == "__main__":
    main()
