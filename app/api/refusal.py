"""What is wrong with what never becomes a request, and the answer, as the bytes that are sent."""

import logging
from collections.abc import Iterable

import httptools
from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.api.context import Ids, RequestContext
from app.api.middleware import complete
from app.api.problem import BadRequest, HeadersTooLarge, problem
from app.inference.traces import forget_traces
from app.observability.logs import fields

_logger = logging.getLogger(__name__)

_IDS = Ids()


def headers_too_large(limit: int) -> HeadersTooLarge:
    """What is said of more headers than so many bytes."""
    return HeadersTooLarge(
        f"the request's headers are over the limit of {limit:,} bytes, its target and trailers "
        "included; send fewer or shorter ones"
    )


def reason(error: httptools.HttpParserError) -> BadRequest:
    """Why the parser stopped: what one of its callbacks raised, or that it is no HTTP."""
    # The parser hands on what a callback raised as the context of its own error.
    raised = error.__context__
    if isinstance(raised, BadRequest):
        # Its trace leads to the connection, which keeps it, and to what was read last.
        forget_traces(raised)
        return raised
    return BadRequest(
        f"this is not HTTP/1.1 as it should be ({error}); have an HTTP client library write it"
    )


def refusal(error: BadRequest, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A problem answer that ends its connection, and a line in the log.

    Args:
        error: What is wrong with what was sent.
        headers: The server's own, which every answer has.
    """
    context = RequestContext(_IDS.new(), timeout_header=None)
    answer = problem(
        error.status,
        error.slug,
        str(error),
        request_id=context.request_id,
        headers={"Connection": "close"},
    )
    message: Message = {"headers": answer.raw_headers}
    complete(message, "", context)
    _logger.info(
        "%s",
        error,
        extra=fields(request_id=context.request_id, status=error.status, problem=error.slug),
    )
    lines = [b"%b: %b\r\n" % header for header in (*headers, *message["headers"])]
    return b"".join([STATUS_LINE[error.status], *lines, b"\r\n", answer.body])
