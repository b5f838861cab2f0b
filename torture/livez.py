"""`python -m torture.livez PORT SECONDS`: asks for `/livez` ten times a second, as an orchestrator.

In a process of its own, because one that makes a load is too busy to say when an answer came, and
each time over a new connection. It prints the seconds that each answer took as a JSON list; null
stands for one that was no 200.
"""

import argparse
import asyncio
import json
import sys
import time

from benchmarks.connection import BROKEN, Connection

_REQUEST = b"GET /livez HTTP/1.1\r\nHost: twinlens\r\n\r\n"
_PAUSE = 0.1


async def ask(port: int, seconds: float) -> list[float | None]:
    """How long each answer took, in seconds; None for one that was no 200."""
    found: list[float | None] = []
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        connection = Connection(port)
        try:
            status = await connection.send(_REQUEST)
        except BROKEN:
            status = 0
        found.append(time.perf_counter() - started if status == 200 else None)
        connection.close()
        await asyncio.sleep(_PAUSE)
    return found


async def begin(port: int, seconds: float) -> asyncio.subprocess.Process:
    """Has a process of its own ask for so long; `end` waits for it."""
    words = [sys.executable, "-m", "torture.livez", str(port), str(seconds)]
    return await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)


async def end(asking: asyncio.subprocess.Process) -> list[float | None]:
    """What a process found, as `ask`."""
    output, _ = await asking.communicate()
    found: list[float | None] = json.loads(output)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m torture.livez", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    print(json.dumps(asyncio.run(ask(options.port, options.seconds))))
