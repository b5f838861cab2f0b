"""Real servers on real ports: in a thread for most tests, in a process where signals matter."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import orjson
import uvicorn
from fastapi import FastAPI

from app.inference.service import Service
from app.main import create_app
from app.server import server_config
from app.settings import Settings
from tests.app.material import DIMENSION, picture

REPOSITORY = Path(__file__).parents[2]
LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = (
    b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
# The largest answer that takes neither a model nor a body.
LARGE = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Returns once the condition holds; fails if it does not in time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


@dataclass
class Running:
    """A server that is up."""

    port: int
    client: httpx.Client
    service: Service
    app: FastAPI
    server: uvicorn.Server


@contextlib.contextmanager
def in_thread(store: Path, *, wait: bool = True, **settings: object) -> Iterator[Running]:
    """A server in a thread of this process; on PyTorch, which loads the fastest."""
    fast = {"store_poll_seconds": 0.05, "cache_bytes": 0, "device": "cpu", "engine": "torch"}
    chosen = Settings(model_store=store, port=0, **{**fast, **settings})
    app = create_app(chosen)
    server = uvicorn.Server(server_config(app, chosen))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            if wait:
                wait_until(lambda: client.get("/readyz").status_code == 200)
            yield Running(port, client, app.state.service, app, server)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@contextlib.contextmanager
def program(
    environment: Mapping[str, str], module: str = "app"
) -> Iterator[tuple[subprocess.Popen[bytes], list[dict[str, object]]]]:
    """`python -m` a module until the block ends, and the lines of its log, which go on coming."""
    popen = subprocess.Popen(
        [sys.executable, "-m", *module.split()],
        cwd=REPOSITORY,
        env=environment,
        stderr=subprocess.PIPE,
    )
    lines: list[dict[str, object]] = []

    def read() -> None:
        assert popen.stderr is not None
        for line in popen.stderr:
            # What Python itself says of a module that cannot start is none of our log.
            if line.startswith(b"{"):
                entry = orjson.loads(line)
                lines.append(entry)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield popen, lines
    finally:
        popen.kill()
        popen.wait()
        # Children have the other end of it too: they are gone when it is closed.
        reader.join(30)
        assert not reader.is_alive()


@dataclass
class Process:
    """A server in a process of its own."""

    popen: subprocess.Popen[bytes]
    lines: list[dict[str, object]]

    @property
    def port(self) -> int:
        """Where it listens; 0 as long as it does not."""
        messages = (str(line["message"]) for line in self.lines)
        said = next((message for message in messages if "running on http" in message), None)
        return 0 if said is None else int(said.split(":")[2].split()[0])


@contextlib.contextmanager
def in_process(store: Path, *, module: str = "app", **environment: str) -> Iterator[Process]:
    """`python -m app` in a process of its own, ready."""
    chosen = {
        **os.environ,
        "TWINLENS_MODEL_STORE": str(store),
        "TWINLENS_PORT": "0",
        "TWINLENS_DEVICE": "cpu",
        "TWINLENS_ENGINE": "torch",
        **environment,
    }
    with program(chosen, module) as (popen, lines):
        process = Process(popen, lines)
        wait_until(lambda: process.port != 0 or popen.poll() is not None, 60)
        with httpx.Client(base_url=f"http://127.0.0.1:{process.port}") as client:
            wait_until(lambda: client.get("/readyz").status_code == 200, 60)
        yield process


def embed(running: Running, *seeds: int, **headers: str) -> httpx.Response:
    """Asks for the embeddings of drawn pictures, on a connection of its own."""
    files = [("images", picture(seed)) for seed in seeds]
    with httpx.Client(timeout=30) as client:
        return client.post(f"http://127.0.0.1:{running.port}/embed", files=files, headers=headers)


def half_request(
    port: int, body: bytes, content_type: str, path: str = "/compare"
) -> socket.socket:
    """Sends a request's headers and waits until the server asks for the body."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(
        (
            f"POST {path} HTTP/1.1\r\nHost: twinlens\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
        ).encode()
    )
    assert connection.recv(1000).startswith(b"HTTP/1.1 100")
    return connection


def reader_of_little(port: int, held: int = 4096) -> socket.socket:
    """A connection that soon has more to read than it holds."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, held)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", port))
    return connection


def send_on(connection: socket.socket) -> None:
    """Sends requests whose answers are not waited for, one after the other."""
    for _ in range(5):
        time.sleep(0.02)
        connection.sendall(LIVE)


def compare_body(left: bytes, right: bytes) -> tuple[bytes, str]:
    """The body and content type of a multipart comparison."""
    request = httpx.Request("POST", "http://x", files={"image_a": left, "image_b": right})
    return request.read(), request.headers["content-type"]


def many_request(candidates: int, connection: str = "keep-alive") -> bytes:
    """A comparison with some 200 bytes of answer a candidate, which are written all at once."""
    embeddings = np.ones((candidates, DIMENSION), "<f4").tobytes()
    request = httpx.Request(
        "POST",
        "http://x/compare/many",
        files={"query": picture(1), "embeddings": embeddings},
        headers={"connection": connection},
    )
    headers = b"".join(b"%b: %b\r\n" % header for header in request.headers.raw)
    return b"POST /compare/many HTTP/1.1\r\n%b\r\n%b" % (headers, request.read())


def comes_whole(connection: socket.socket, pause: float = 0) -> bool:
    """Whether all of an answer comes, if there is a pause after each piece that is read."""
    head, _, body = answer_of(connection).partition(b"\r\n\r\n")
    (length,) = re.findall(rb"content-length: (\d+)", head)
    received = len(body)
    while received < int(length) and (piece := connection.recv(20_000)):
        received += len(piece)
        time.sleep(pause)
    return received == int(length)


def metric(running: Running, name: str, **labels: str) -> float:
    """A metric's value now; 0 as long as it has none."""
    return running.service.metrics.registry.get_sample_value(name, labels) or 0


def answer_of(connection: socket.socket) -> bytes:
    """What a server sends, up to the read that has the end of the headers."""
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
        if b"\r\n\r\n" in data:
            break
    return data
