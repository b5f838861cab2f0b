"""The load generator: a process of its own that sends requests and prints what came of them.

`python -m benchmarks.load PORT SECONDS --concurrency N` keeps that many requests in flight, each on
a connection of its own (closed loop); `--rate R` sends R requests a second whatever becomes of them
(open loop), and counts latency from when each should have been sent, so that a stall is not hidden.
What is sent are photos, or the requests that lie in a folder, each a file. It prints one JSON
object.
"""

import argparse
import asyncio
import base64
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import uvloop

from benchmarks.connection import BROKEN, Connection
from benchmarks.photos import load_photos

PHOTOS = 64
_OPEN_CONNECTIONS = 128
_OPEN_WARM_UP = 4
# As long as curl makes them: what is searched for is found the sooner the longer it is.
_BOUNDARY = "------------------------twinlensbenchmark0"


@dataclass
class Tally:
    """What came of the requests.

    Attributes:
        seconds: Latencies of those answered 200 within the measured time.
        failures: Others, by status.
        answered: All that were answered 200.
        length: What `seconds` were gathered in, in seconds.
        longest: The longest that anything answered within the measured time took, in seconds.
        pending: How long each request without an answer at the end had waited, in seconds.
    """

    seconds: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    length: float = 0.0
    longest: float = 0.0
    pending: list[float] = field(default_factory=list)

    def add(self, status: str, seconds: float, *, in_time: bool) -> None:
        """Counts an answer."""
        if in_time:
            self.longest = max(self.longest, seconds)
        if status != "200":
            self.failures[status] += 1
            return
        self.answered += 1
        if in_time:
            self.seconds.append(seconds)

    @property
    def overdue(self) -> int:
        """Requests without an answer at the end that had waited longer than any with one.

        Some are always under way when a closed loop ends; these are what latencies do not tell.
        """
        return sum(waited > self.longest for waited in self.pending)


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that so great a share of the values does not exceed; nan for none."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Message(NamedTuple):
    """What is posted.

    Attributes:
        path: Where to, with the query.
        media_type: Of the body.
        body: All of it.
        headers: Further lines of the head, each with its line end.
    """

    path: str
    media_type: str
    body: bytes
    headers: str = ""

    def encode(self) -> bytes:
        """As it goes over the connection."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: twinlens\r\nContent-Type: {self.media_type}\r\n"
            f"Content-Length: {len(self.body)}\r\n{self.headers}\r\n"
        )
        return head.encode() + self.body


def multipart(path: str, parts: Iterable[tuple[str, str, bytes]]) -> Message:
    """A form, each part of it a file.

    Args:
        path: Where to, with the query.
        parts: Name, media type and content of each.
    """
    body = bytearray()
    for name, media_type, content in parts:
        body += (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
            f"Content-Type: {media_type}\r\n\r\n"
        ).encode()
        body += content + b"\r\n"
    body += f"--{_BOUNDARY}--\r\n".encode()
    return Message(path, f"multipart/form-data; boundary={_BOUNDARY}", bytes(body))


def _raw(image: bytes) -> Message:
    return Message("/embed", "image/jpeg", image)


def _json(path: str, content: object) -> Message:
    return Message(path, "application/json", json.dumps(content).encode())


def _base64(image: bytes) -> Message:
    return _json("/embed", {"image": base64.b64encode(image).decode()})


def _base64_list(image: bytes) -> Message:
    return _json("/embed", {"images": [base64.b64encode(image).decode()]})


def _v2(image: bytes) -> Message:
    content = base64.b64encode(image).decode()
    tensor = {"name": "image", "shape": [1, 1], "datatype": "BYTES", "data": [content]}
    return _json("/v2/models/photos/infer", {"inputs": [tensor]})


def _v2_binary(image: bytes) -> Message:
    """The protocol's extension for binary tensors: JSON, then each value after its length."""
    tensor = {
        "name": "image",
        "shape": [1, 1],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": 4 + len(image)},
    }
    head = json.dumps({"inputs": [tensor]}).encode()
    return Message(
        "/v2/models/photos/infer",
        "application/octet-stream",
        head + len(image).to_bytes(4, "little") + image,
        f"Inference-Header-Content-Length: {len(head)}\r\n",
    )


BODIES: dict[str, Callable[[bytes], Message]] = {
    "raw": _raw,
    "base64": _base64,
    "base64-list": _base64_list,
    "v2": _v2,
    "v2-binary": _v2_binary,
}
"""How a server takes an image."""


def requests(kind: str) -> list[bytes]:
    """One HTTP request for each photo."""
    return [BODIES[kind](file).encode() for file in load_photos(PHOTOS)[0]]


def requests_in(folder: Path) -> list[bytes]:
    """The files of a folder by name, each a whole HTTP request.

    Raises:
        FileNotFoundError: There are none.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file())
    if not files:
        raise FileNotFoundError(f"{folder} holds no requests; write one to a file there")
    return [path.read_bytes() for path in files]


async def _send(connection: Connection, request: bytes) -> str:
    """The status of the answer, or the error that came instead."""
    try:
        return str(await connection.send(request))
    except BROKEN as error:
        return type(error).__name__


async def closed_loop(
    port: int, made: list[bytes], concurrency: int, seconds: float, warm_up: float = 0.0
) -> Tally:
    """As many requests in flight as are wanted, for so many seconds.

    What was sent during the warm-up and is answered after it counts: a server that has emptied in
    between would be measured while it fills up again.
    """
    tally = Tally(length=seconds)
    begin = time.perf_counter() + warm_up
    end = begin + seconds

    async def client(index: int) -> None:
        connection = Connection(port)
        while (started := time.perf_counter()) < end:
            status = await _send(connection, made[index % len(made)])
            index += 1
            now = time.perf_counter()
            tally.add(status, now - started, in_time=begin <= now <= end)
            if now > end:
                tally.pending.append(end - started)
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
    # A server that falls behind goes on answering after the last request: what it answers a second
    # is not what it is sent.
    tally.length = max(seconds, time.perf_counter() - start)
    while not connections.empty():
        connections.get_nowait().close()
    return tally


async def measure(
    port: int,
    seconds: float,
    *,
    concurrency: int = 1,
    rate: float | None = None,
    made: list[bytes],
    warm_up: float = 0.0,
) -> dict[str, object]:
    """Loads a server for so many seconds.

    Args:
        port: Where it listens.
        seconds: How long.
        concurrency: Requests in flight at any time, unless a rate is given.
        rate: Requests a second.
        made: The requests, which are sent in turn.
        warm_up: Seconds of load before, of which latency and rate tell nothing.

    Returns:
        Requests answered a second (in an open loop up to the last answer), median and 99th
        percentile latency in ms, failures by status, requests overdue at the end of a closed loop,
        the CPU time this process took a request, in ms, and all that were answered; of these and of
        the failures those of the warm-up, too.
    """
    cpu = time.process_time()
    if rate is None:
        tally = await closed_loop(port, made, concurrency, seconds, warm_up)
    else:
        before = await closed_loop(port, made, _OPEN_WARM_UP, warm_up)
        tally = await open_loop(port, made, rate, seconds)
        tally.answered += before.answered
        tally.failures += before.failures
    cpu = time.process_time() - cpu
    done = len(tally.seconds)
    return {
        "images_per_second": done / tally.length,
        "p50_ms": 1000 * percentile(tally.seconds, 0.5) if done else None,
        "p99_ms": 1000 * percentile(tally.seconds, 0.99) if done else None,
        "failures": tally.failures,
        "overdue": tally.overdue,
        "client_cpu_ms": 1000 * cpu / max(1, tally.answered),
        "answered": tally.answered,
    }


def measure_in_process(port: int, seconds: float, *, kind: str) -> dict[str, object]:
    """One request at a time, from this process."""
    return uvloop.run(measure(port, seconds, made=requests(kind)))


def main() -> None:
    """Loads a server as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--concurrency", type=int, default=1, metavar="N")
    parser.add_argument("--rate", type=float, metavar="R")
    parser.add_argument("--kind", choices=sorted(BODIES), default="raw", help="of the photos")
    parser.add_argument("--requests", type=Path, metavar="DIR", help="send what lies there")
    parser.add_argument("--warm-up", type=float, default=0.0, metavar="SECONDS")
    options = parser.parse_args()
    found = measure(
        options.port,
        options.seconds,
        concurrency=options.concurrency,
        rate=options.rate,
        made=requests(options.kind) if options.requests is None else requests_in(options.requests),
        warm_up=options.warm_up,
    )
    print(json.dumps(uvloop.run(found)))


if __name__ == "__main__":
    main()
