"""What is known of a request beside its content: identity, clock, what to log."""

import asyncio
import re
import secrets
from dataclasses import dataclass, field
from time import perf_counter

from starlette.types import Scope

from app.inference.admission import Reservation

_KEY = "twinlens.context"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


@dataclass(slots=True)
class RequestContext:
    """One request.

    Attributes:
        request_id: The client's own, if it sent one that is fit for logs; else a new one.
        timeout_header: What the client sent as `X-Request-Timeout`.
        started: `perf_counter` when its headers were there.
        arrived: The event loop's time then, from which deadlines count.
        problem: The slug of the problem it was answered with.
        log: Further fields for its line in the log.
        reservation: The bytes it holds, from when its body is read; given back at its end.
    """

    request_id: str
    timeout_header: str | None
    started: float = field(default_factory=perf_counter)
    arrived: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    problem: str | None = None
    log: dict[str, object] = field(default_factory=dict)
    reservation: Reservation | None = None


def new_context(scope: Scope) -> RequestContext:
    """Makes a request's context from its headers, and keeps it in the scope."""
    request_id, timeout = None, None
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            request_id = value.decode("ascii")
        elif name == b"x-request-timeout":
            timeout = value.decode("latin-1")
    context = RequestContext(request_id or secrets.token_hex(8), timeout)
    scope[_KEY] = context
    return context


def context_of(scope: Scope) -> RequestContext:
    """The context that `new_context` kept."""
    context: RequestContext = scope[_KEY]
    return context
