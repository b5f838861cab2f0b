"""The load generator: a process of its own that sends requests and prints what came of them.

`python -m benchmarks.load PORT CONCURRENCY SECONDS` keeps that many requests in flight, each on a
connection of its own, and prints one JSON object. It speaks just enough HTTP to cost little beside
the server it measures.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field

from benchmarks.photos import load_photos

PHOTOS = 64


@dataclass
class Tally:
    """What came of the requests.

    Attributes:
        seconds: Latencies of those answered 200 within the measured time.
        failures: Others, by status.
    """

    seconds: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)


async def _send(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: bytes) -> str:
    reader, writer = streams
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    length = next(
        int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")
    )
    await reader.readexactly(length)
    return lines[0].split(" ")[1]


async def _client(port: int, requests: list[bytes], first: int, tally: Tally, end: float) -> None:
    streams = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    index = first
    while (started := time.perf_counter()) < end:
        status = await _send(streams, requests[index % len(requests)])
        index += 1
        now = time.perf_counter()
        if status == "200":
            if now <= end:
                tally.seconds.append(now - started)
        else:
            tally.failures[status] = tally.failures.get(status, 0) + 1
    streams[1].close()


async def measure(port: int, concurrency: int, seconds: float) -> dict[str, object]:
    """Closed-loop load for so many seconds.

    Args:
        port: Where the server listens.
        concurrency: Requests in flight at any time.
        seconds: How long.

    Returns:
        Images a second, median and 99th percentile latency in ms, failures by status, and the
        CPU time this process took a request, in ms.
    """
    files, _ = load_photos(PHOTOS)
    requests = [
        b"POST /embed HTTP/1.1\r\nHost: twinlens\r\nContent-Type: image/jpeg\r\n"
        b"Content-Length: %d\r\n\r\n" % len(file) + file
        for file in files
    ]
    tally = Tally()
    cpu = time.process_time()
    end = time.perf_counter() + seconds
    step = len(requests) / concurrency
    await asyncio.gather(
        *(_client(port, requests, int(n * step), tally, end) for n in range(concurrency))
    )
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


if __name__ == "__main__":
    port_, concurrency_, seconds_ = sys.argv[1:4]
    print(json.dumps(asyncio.run(measure(int(port_), int(concurrency_), float(seconds_)))))
