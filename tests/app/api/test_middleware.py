"""What requests are answered that the server gives up, and what is recorded of any."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.middleware import RequestMiddleware
from app.observability.logs import FIELDS
from app.observability.metrics import Metrics
from tests.app.serving import Running, answer_of, half_request, in_thread, wait_until


@pytest.fixture
def ending(store: Path) -> Iterator[Running]:
    with in_thread(store, store_poll_seconds=0) as running:
        yield running


@pytest.mark.parametrize("broken", [True, False], ids=["broken", "draining"])
def test_a_request_that_is_cancelled_at_the_end_is_sent_elsewhere(
    ending: Running, *, broken: bool
) -> None:
    tasks = ending.server.server_state.tasks
    with half_request(ending.port, bytes(100), "image/png") as connection:
        (working,) = tasks
        if broken:
            ending.service._supervisor.failure = "the engine hangs; the process ends"
        else:
            ending.service.drain()
        # As uvicorn does before it ends.
        working.get_loop().call_soon_threadsafe(working.cancel)
        head, _, body = answer_of(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503")
    assert b"\r\nretry-after: 5" in head
    assert b"\r\nconnection: close" in head
    assert orjson.loads(body)["type"] == "urn:twinlens:problem:not-ready"
    wait_until(lambda: not tasks)


async def nothing() -> Message:
    raise AssertionError("a body was read")


async def around(app: ASGIApp, *headers: tuple[bytes, bytes]) -> list[Message]:
    """What a service that drains sends for one request."""
    service = SimpleNamespace(draining=True, failure=None)
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": "/models",
        "headers": list(headers),
        "app": SimpleNamespace(state=SimpleNamespace(service=service)),
    }
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    try:
        await RequestMiddleware(app, Metrics(), SimpleNamespace(requests=0))(scope, nothing, send)
    except asyncio.CancelledError:
        sent.append({"type": "cancelled"})
    return sent


@pytest.mark.parametrize("begun", [False, True])
def test_only_a_request_without_an_answer_is_answered_when_it_is_cancelled(*, begun: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise asyncio.CancelledError

    sent = asyncio.run(around(app))
    assert sent[0]["status"] == (200 if begun else 503)
    assert sent[1]["type"] == ("cancelled" if begun else "http.response.body")
    assert len(sent) == 2


def test_the_line_in_the_log_has_the_span_that_the_answer_tells(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    traceparent = f"00-{trace}-00f067aa0ba902b7-01".encode()
    start, _ = asyncio.run(around(Response(), (b"traceparent", traceparent)))
    told = dict(start["headers"])[b"traceparent"].decode().split("-")
    line = getattr(caplog.records[-1], FIELDS)
    assert [line["trace_id"], line["span_id"]] == told[1:3]
    assert told[1] == trace
