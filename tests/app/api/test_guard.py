"""Who is let in by the guard alone, without a service behind it."""

import asyncio
from pathlib import Path

import pytest
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.api.context import Ids, new_context
from app.api.guard import Guard, is_loopback
from app.security import keys
from app.security.keys import Keyring, new_key, write_keys

PAID = ("POST", "/embed")


async def nothing() -> Message:
    raise AssertionError("a body was read")


async def served(scope: Scope, receive: Receive, send: Send) -> None:
    await Response()(scope, receive, send)


def guard(file: Path, *, rate: float = 0.0) -> Guard:
    return Guard(served, Keyring(file), [PAID], rate, "127.0.0.1")


def statuses(
    asked: Guard, key: str | None, times: int = 1, *, method: str = "POST", path: str = "/embed"
) -> list[int]:
    """Of that many requests in a row."""
    found: list[int] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    async def ask() -> None:
        for _ in range(times):
            headers = [] if key is None else [(b"x-api-key", key.encode())]
            scope = {"type": "http", "method": method, "path": path, "headers": headers}
            new_context(scope, Ids())
            await asked(scope, nothing, send)

    asyncio.run(ask())
    return found


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.7", False),
        ("box.lan", False),
        ("localhost.lan", False),
        ("", False),
    ],
)
def test_hosts_that_only_this_machine_reaches(host: str, *, loopback: bool) -> None:
    assert is_loopback(host) == loopback


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/docs/swagger-ui.css", 200),
        ("/static/page.js", 200),
        ("/favicon.ico", 200),
        ("/docsx", 401),
        ("/models", 401),
        ("/admin/reload", 401),
    ],
)
def test_what_is_there_without_a_key(tmp_path: Path, path: str, status: int) -> None:
    write_keys(tmp_path / "keys.json", ())
    assert statuses(guard(tmp_path / "keys.json"), None, method="GET", path=path) == [status]


@pytest.mark.parametrize(
    ("own", "common", "second"),
    [(None, 0.001, 429), (0.001, 0.0, 429), (0.0, 0.001, 200), (None, 0.0, 200)],
)
def test_a_keys_own_rate_goes_before_the_common_one_and_0_is_none(
    tmp_path: Path, own: float | None, common: float, second: int
) -> None:
    key, record = new_key("one", images_per_second=own)
    write_keys(tmp_path / "keys.json", (record,))
    assert statuses(guard(tmp_path / "keys.json", rate=common), key, 2) == [200, second]


def test_a_rate_that_is_changed_holds_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_LOOK_SECONDS", -1.0)
    file = tmp_path / "keys.json"
    key, record = new_key("one", images_per_second=0.001)
    write_keys(file, (record,))
    asked = guard(file)
    assert statuses(asked, key, 2) == [200, 429]
    write_keys(file, (record.model_copy(update={"images_per_second": 0.2}),))
    # Ten seconds' worth, and paid for once: the bucket is not a new one each time.
    assert statuses(asked, key, 3) == [200, 200, 429]
