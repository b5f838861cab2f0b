"""What a request is called, and what its client asks for, by its headers alone."""

import asyncio

import pytest
from starlette.types import Scope

from app.api.context import Ids, RequestContext, new_context


def context(*headers: tuple[bytes, bytes]) -> RequestContext:
    async def made() -> RequestContext:
        scope: Scope = {"type": "http", "headers": list(headers)}
        return new_context(scope, Ids())

    return asyncio.run(made())


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"a" * 128, True),
        (b"Order:7/b._+=@-", True),
        (b"a" * 129, False),
        (b"", False),
        (b"a b", False),
        (b"a\n", False),
        (b'"a"', False),
        ("é".encode(), False),
    ],
)
def test_a_request_id_is_kept_if_it_is_fit_for_logs(sent: bytes, *, kept: bool) -> None:
    found = context((b"x-request-id", sent)).request_id
    assert found == sent.decode() if kept else len(found) == 16


@pytest.mark.parametrize("sent", [b"20", b"\xb2", "٢".encode()])
def test_any_bytes_may_come_as_a_timeout(sent: bytes) -> None:
    assert context((b"x-request-timeout", sent)).timeout_header == sent.decode("latin-1")
