"""Health, and who asks by HEAD."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx
import pytest

from tests.app.api.problems import problem
from tests.app.serving import Running, wait_until

READABLE = (
    "/",
    "/docs",
    "/docs/swagger-ui.css",
    "/favicon.ico",
    "/livez",
    "/readyz",
    "/models",
    "/models/tiny",
)


def test_health(client: httpx.Client) -> None:
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize("path", READABLE)
def test_health_checkers_may_ask_by_head(client: httpx.Client, path: str) -> None:
    whole, head = client.get(path), client.head(path)
    assert head.status_code == 200
    assert head.content == b""
    for name in ("content-type", "content-length", "cache-control"):
        assert head.headers.get(name) == whole.headers.get(name)
    # The connection goes on, which it would not with a body that nobody expects.
    assert client.get(path).content == whole.content


@pytest.mark.parametrize("path", [*READABLE, "/metrics", "/openapi.json", "/static/page.js"])
def test_who_asks_in_another_way_is_told_of_both(client: httpx.Client, path: str) -> None:
    answer = client.put(path)
    assert answer.headers["allow"] == "GET, HEAD"
    problem(answer, 405, f"PUT is not possible at {path}; use GET or HEAD")


def test_metrics_may_be_asked_for_by_head(client: httpx.Client) -> None:
    head = client.head("/metrics")
    assert head.status_code == 200
    assert head.content == b""
    assert int(head.headers["content-length"]) > 1000
    # The document of the interface does not repeat them.
    paths = client.get("/openapi.json").json()["paths"]
    assert not any("head" in methods for methods in paths.values())


def test_metrics_are_of_the_type_that_prometheus_takes(client: httpx.Client) -> None:
    kind = client.get("/metrics").headers["content-type"]
    assert kind.startswith("text/plain; version=")


def test_while_metrics_are_made_all_else_is_answered_and_who_asks_meanwhile_gets_the_same(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[None] = []
    may_end = threading.Event()

    def slow() -> bytes:
        begun.append(None)
        assert may_end.wait(20), "the loop stands"
        return b"x 1\n"

    monkeypatch.setattr(server.service.metrics, "exposition", slow)
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(server.client.get, "/metrics") for _ in range(2)]
        wait_until(lambda: bool(begun))
        wait_until(lambda: server.app.state.in_flight.requests == 2)
        assert server.client.get("/livez").status_code == 200
        may_end.set()
        assert {answer.result().text for answer in asked} == {"x 1\n"}
    assert len(begun) == 1


@pytest.mark.parametrize(
    ("own", "others", "status", "said"),
    [
        (None, None, 200, "ready"),
        ("draining", None, 503, "draining"),
        (None, "front-end 1 has hung", 503, "front-end 1"),
        ("draining", "front-end 1 has hung", 503, "draining"),
    ],
)
def test_of_several_processes_who_is_ready_and_whose_others_are_is(
    server: Running,
    monkeypatch: pytest.MonkeyPatch,
    own: str | None,
    others: str | None,
    status: int,
    said: str,
) -> None:
    async def unready_reason() -> str | None:
        return others

    monkeypatch.setattr(server.service, "unready_reason", lambda: own)
    server.app.state.siblings = SimpleNamespace(unready_reason=unready_reason)
    try:
        answer = server.client.get("/readyz")
    finally:
        server.app.state.siblings = None
    assert answer.status_code == status
    assert said in answer.text
