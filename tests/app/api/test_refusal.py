"""The answer to what never becomes a request, and its line in the log."""

import asyncio
import logging

import orjson
import pytest

from app.api.problem import HeadersTooSlow
from app.api.refusal import refusal
from app.observability.logs import FIELDS


def test_a_refusal_has_the_servers_headers_and_a_line_of_its_own_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def refuse() -> bytes:
        return refusal(HeadersTooSlow("send them sooner"), [(b"date", b"today")])

    with caplog.at_level(logging.INFO, "app.api.refusal"):
        sent = asyncio.run(refuse())
    head, _, body = sent.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    assert status.startswith(b"HTTP/1.1 408 ")
    headers = dict(line.split(b": ", 1) for line in lines)
    assert (headers[b"date"], headers[b"connection"]) == (b"today", b"close")
    assert int(headers[b"content-length"]) == len(body)
    assert orjson.loads(body)["detail"] == "send them sooner"
    (record,) = (record for record in caplog.records if record.name == "app.api.refusal")
    assert record.getMessage() == "send them sooner"
    assert getattr(record, FIELDS) == {
        "request_id": headers[b"x-request-id"].decode(),
        "status": 408,
        "problem": "headers-too-slow",
    }
