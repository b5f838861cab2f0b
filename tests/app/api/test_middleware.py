"""What requests are answered that the server gives up."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

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
