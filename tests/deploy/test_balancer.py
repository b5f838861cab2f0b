"""The balancer's configuration in a real HAProxy, with a server that stands in for the replicas."""

import contextlib
import http.client
import os
import re
import resource
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.service import free_port
from tests.deploy.tools import DEPLOY, program

# More connections than there once was room for.
SILENT = 1100


class Replica(BaseHTTPRequestHandler):
    """Answers with what it was sent, but leaves the first request for /compare unanswered."""

    protocol_version = "HTTP/1.1"
    left: list[str]

    def do_GET(self) -> None:
        """As `http.server` calls it."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/compare" and not self.left:
            self.left.append(self.path)
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Likewise."""
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Nothing: what HAProxy has open is reset when it is killed."""


def ask(port: int, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as asking:
        asking.request("GET" if body is None else "POST", path, body)
        answer = asking.getresponse()
        return answer.status, answer.read()


@pytest.fixture(scope="module")
def balancer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of one with a body limit of 1 MiB, before one server."""
    haproxy = program("haproxy")
    replica = type("One", (Replica,), {"left": []})
    port, inside = free_port(), free_port()
    with Server(("127.0.0.1", 0), replica) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
        # Without Docker there are no names to ask for.
        for pattern, instead in (
            (r"(?s)^resolvers .*?(?=^defaults)", ""),
            (r"bind :8080", f"bind 127.0.0.1:{port}"),
            (r"bind :8405", f"bind 127.0.0.1:{inside}"),
            (r"server-template app 32 app:8000", f"server app1 127.0.0.1:{server.server_port}"),
            (r" resolvers containers init-addr none", ""),
        ):
            text, changed = re.subn(pattern, instead, text, flags=re.MULTILINE)
            assert changed == 1, pattern
        file = tmp_path_factory.mktemp("haproxy") / "haproxy.cfg"
        file.write_text(text)
        with running(haproxy, file):
            while not up(port):
                pass
            yield port
        server.shutdown()


@contextlib.contextmanager
def running(haproxy: str, file: Path) -> Iterator[None]:
    environment = {**os.environ, "TWINLENS_MAX_BODY_BYTES": str(1 << 20)}
    with subprocess.Popen([haproxy, "-db", "-f", file], env=environment) as process:
        try:
            yield
        finally:
            process.kill()


def up(port: int) -> bool:
    with contextlib.suppress(ConnectionError):
        return ask(port, "/livez")[0] == 200
    return False


def test_a_request_that_was_left_unanswered_is_sent_again_with_its_body(balancer):
    body = bytes(range(256)) * 3000
    assert ask(balancer, "/compare", body) == (200, body)


def test_what_is_set_for_the_services_bodies_holds_at_the_balancer(balancer):
    assert ask(balancer, "/embed", bytes(1 << 20))[0] == 200
    with contextlib.suppress(ConnectionError):
        assert ask(balancer, "/embed", bytes((1 << 20) + 1))[0] == 413
    assert ask(balancer, "/compare/many", bytes((1 << 20) + 1))[0] == 200


def test_silent_connections_do_not_lock_others_out(balancer):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as held:
        for _ in range(SILENT):
            held.enter_context(socket.create_connection(("127.0.0.1", balancer)))
        assert ask(balancer, "/livez")[0] == 200
