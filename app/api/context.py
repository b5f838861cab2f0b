"""What is known of a request beside its content: identity, clock, what to log."""

import asyncio
import random
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter

from starlette.types import Scope

from app.inference.admission import Reservation
from app.security.limiter import Bucket

_KEY = "twinlens.context"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True, slots=True)
class Trace:
    """A request's place in a trace, as W3C Trace Context has it, in lower-case hexadecimal.

    Attributes:
        trace_id: 32 digits, the client's.
        parent_id: 16 digits, the client's span.
        span_id: 16 digits, this request's own.
        flags: 2 digits, the client's.
    """

    trace_id: str
    parent_id: str
    span_id: str
    flags: str

    @property
    def header(self) -> str:
        """`traceparent` of this request's span."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


@dataclass(slots=True)
class RequestContext:
    """One request.

    Attributes:
        request_id: The client's own, if it sent one that is fit for logs; else its trace's; else
            a new one.
        timeout_header: What the client sent as `X-Request-Timeout`.
        started: `perf_counter` when its headers were there.
        arrived: The event loop's time then, from which deadlines count.
        problem: The slug of the problem it was answered with.
        log: Further fields for its line in the log.
        bucket: What its images are paid from; None where nothing is to pay.
        trace: What W3C Trace Context tells of it; None if its client sent nothing of the kind.
        reservation: The bytes it holds, from when its body is read; given back at its end.
    """

    request_id: str
    timeout_header: str | None
    started: float = field(default_factory=perf_counter)
    arrived: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    problem: str | None = None
    log: dict[str, object] = field(default_factory=dict)
    reservation: Reservation | None = None
    bucket: Bucket | None = None
    trace: Trace | None = None


class Ids:
    """Makes ids that are hardly ever the same twice; nothing is protected by them.

    The system is asked for chance only once. Each time it is asked, the interpreter goes to another
    thread, and it may be long until it comes back.
    """

    def __init__(self) -> None:
        self._random = random.Random(secrets.randbits(256))  # noqa: S311 (they are no secrets)

    def new(self) -> str:
        """16 hexadecimal digits."""
        return f"{self._random.getrandbits(64):016x}"


def new_context(scope: Scope, ids: Ids) -> RequestContext:
    """Makes a request's context from its headers, and keeps it in the scope.

    Args:
        scope: The request's.
        ids: Makes those that it does not bring along.
    """
    request_id, timeout, trace = None, None, None
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            request_id = value.decode("ascii")
        elif name == b"x-request-timeout":
            timeout = value.decode("latin-1")
        elif name == b"traceparent":
            trace = _trace(value, ids)
    if request_id is None:
        request_id = ids.new() if trace is None else trace.trace_id
    context = RequestContext(request_id, timeout, trace=trace)
    scope[_KEY] = context
    return context


def context_of(scope: Scope) -> RequestContext:
    """The context that `new_context` kept."""
    context: RequestContext = scope[_KEY]
    return context


def unsent_of(scope: Mapping[str, object]) -> Reservation | None:
    """Where the answer to a request is accounted for until it is sent.

    None for a request of which nothing was read: its answer is a short one, or comes in pieces.
    """
    context = scope.get(_KEY)
    if not isinstance(context, RequestContext) or context.reservation is None:
        return None
    return context.reservation.beside()


def _trace(value: bytes, ids: Ids) -> Trace | None:
    match = _TRACEPARENT.fullmatch(value)
    if match is None:
        return None
    trace_id, parent_id, flags = (match[n].decode("ascii") for n in (1, 2, 3))
    # All zeros is how a trace says that it is none.
    if not int(trace_id, 16) or not int(parent_id, 16):
        return None
    return Trace(trace_id, parent_id, ids.new(), flags)
