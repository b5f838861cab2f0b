"""The answer to what never becomes a request, as the bytes that are sent."""

import logging
from collections.abc import Iterable

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.api.context import Ids, RequestContext
from app.api.middleware import complete
from app.api.problem import BadRequest, problem
from app.observability.logs import fields

_logger = logging.getLogger(__name__)

_IDS = Ids()


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
