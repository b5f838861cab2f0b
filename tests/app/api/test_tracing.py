"""Traces reach a collector, here a plain HTTP server."""

import logging
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from app.observability import tracing
from tests.app.serving import in_thread

pytest.importorskip("opentelemetry.sdk", reason="needs the extra 'tracing'")

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces", received
    server.shutdown()
    server.server_close()


def test_a_requests_span_is_part_of_the_clients_trace(
    store: Path, collector: tuple[str, list[bytes]]
) -> None:
    endpoint, received = collector
    with in_thread(store, store_poll_seconds=0, otlp_endpoint=endpoint) as running:
        sent = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        answer = running.client.get("/models", headers=sent)
        assert answer.headers["traceparent"].split("-")[1] == TRACE
        alone = running.client.get("/models").headers["traceparent"].split("-")[1]
        assert alone != TRACE
    spans = b"".join(received)
    assert bytes.fromhex(TRACE) in spans
    assert bytes.fromhex(alone) in spans
    assert b"twinlens" in spans
    assert b"livez" not in spans


def test_spans_are_named_by_route_and_the_service_by_the_environment(
    store: Path, collector: tuple[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, received = collector
    monkeypatch.setenv("OTEL_SERVICE_NAME", "pictures-of-the-shop")
    with in_thread(store, store_poll_seconds=0, otlp_endpoint=endpoint) as running:
        assert running.client.get("/models/tiny").status_code == 200
        assert running.client.get("/strangers/choice").status_code == 404
        assert running.client.post("/embed").status_code == 400
    spans = b"".join(received)
    assert b"pictures-of-the-shop" in spans
    assert b"GET /models/{name}" in spans
    assert b"POST /embed" in spans
    # As an attribute only.
    assert b"GET /strangers" not in spans


def test_only_probes_are_not_traced_whatever_else_is_called_like_them(
    store: Path, collector: tuple[str, list[bytes]]
) -> None:
    endpoint, received = collector
    traced = ("/models", "/models/metrics", "/models/metrics-labels", "/models/livez/1")
    probes = ("/livez", "/readyz", "/metrics")
    with in_thread(store, store_poll_seconds=0, otlp_endpoint=endpoint) as running:
        for number, path in enumerate((*traced, *probes), 1):
            parent = f"00-{number:02x}{TRACE[2:]}-00f067aa0ba902b7-01"
            running.client.get(path, headers={"host": "metrics.shop", "traceparent": parent})
    spans = b"".join(received)
    sent = [bytes.fromhex(f"{number:02x}{TRACE[2:]}") in spans for number in range(1, 8)]
    assert sent == [True] * len(traced) + [False] * len(probes)


def test_headers_that_are_no_text_to_opentelemetry_are_latin_1_to_it_and_left_to_the_service(
    store: Path, collector: tuple[str, list[bytes]]
) -> None:
    endpoint, received = collector
    with in_thread(store, store_poll_seconds=0, otlp_endpoint=endpoint) as running:
        for name in ("user-agent", "host", "traceparent"):
            for path in ("/models", "/livez"):
                answer = running.client.get(path, headers={name: b"\xff\\x"})
                assert answer.status_code == 200
                assert "x-request-id" in answer.headers
        answer = running.client.post("/embed", headers={"content-encoding": b"\xff\\x"})
        assert answer.status_code == 415
        assert "'ÿ\\x'" in answer.json()["detail"]
    assert "ÿ\\x".encode() in b"".join(received)


@pytest.mark.parametrize("listens", [True, False])
def test_a_collector_that_is_down_is_not_waited_for_at_the_end(
    listens: bool, store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # The exporter by itself would keep trying for that long.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "3600")
    monkeypatch.setattr(tracing, "_CLOSING_SECONDS", 0.2)
    with socket.socket() as collector, caplog.at_level(logging.WARNING, tracing.__name__):
        collector.bind(("127.0.0.1", 0))
        if listens:
            collector.listen()  # It never answers.
        endpoint = f"http://127.0.0.1:{collector.getsockname()[1]}/v1/traces"
        # Leaving it fails if the server does not end.
        with in_thread(store, store_poll_seconds=0, otlp_endpoint=endpoint) as running:
            assert running.client.get("/models").status_code == 200
    (said,) = [record.message for record in caplog.records if record.name == tracing.__name__]
    assert said.startswith("the last spans are lost: ")
