"""Health, and who asks by HEAD."""

import httpx
import pytest


def test_health(client: httpx.Client) -> None:
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/docs",
        "/docs/swagger-ui.css",
        "/favicon.ico",
        "/livez",
        "/readyz",
        "/models",
        "/models/tiny",
    ],
)
def test_health_checkers_may_ask_by_head(client: httpx.Client, path: str) -> None:
    whole, head = client.get(path), client.head(path)
    assert head.status_code == 200
    assert head.content == b""
    for name in ("content-type", "content-length", "cache-control"):
        assert head.headers.get(name) == whole.headers.get(name)
    # The connection goes on, which it would not with a body that nobody expects.
    assert client.get(path).content == whole.content


def test_metrics_may_be_asked_for_by_head(client: httpx.Client) -> None:
    head = client.head("/metrics")
    assert head.status_code == 200
    assert head.content == b""
    assert int(head.headers["content-length"]) > 1000
    # The document of the interface does not repeat them.
    paths = client.get("/openapi.json").json()["paths"]
    assert not any("head" in methods for methods in paths.values())
