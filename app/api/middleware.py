"""Around every request: identity, records, and an answer whatever happens."""

import asyncio
import logging
from time import perf_counter

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.context import Ids, RequestContext, new_context
from app.api.problem import CLIENT_CLOSED_REQUEST, problem, problem_of
from app.inference.errors import CLOSING, NotReady
from app.inference.service import Service
from app.observability.logs import fields
from app.observability.metrics import Metrics

_logger = logging.getLogger("twinlens.request")

# What every answer says unless it says otherwise itself: it is neither a page nor to be framed,
# guessed at or kept. The pages of app.web have a policy of their own.
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
# A browser may keep these, but asks each time whether they are still good: after an upgrade, it
# would run the old script in the new page.
_KEPT = ("/static/", "/docs/", "/favicon.ico")

_QUIET = frozenset({"/livez", "/readyz", "/metrics"})


class InFlight:
    """Counts requests in work.

    Attributes:
        requests: How many there are now.
    """

    def __init__(self) -> None:
        self.requests = 0


class RequestMiddleware:
    """Gives a request its id, counts it, times it, logs it in one line, and catches its errors.

    Args:
        app: The application inside.
        metrics: Where it is counted.
        in_flight: Where it is counted while it lasts.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, in_flight: InFlight) -> None:
        self._app = app
        self._metrics = metrics
        self._in_flight = in_flight
        self._ids = Ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = new_context(scope, self._ids)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                complete(message, scope["path"], context)
                if _ending(scope):
                    # Whoever keeps the connection would send its next request here, too.
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        self._in_flight.requests += 1
        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:
            # Before it ends, the server cancels what is still in work: once the draining time is
            # over, or if an engine cannot be mended. It would answer with a bare 500 of its own.
            # A client that leaves comes as `ClientGone`.
            if status or not _ending(scope):
                raise
            closing = problem_of(NotReady(CLOSING), Request(scope))
            await closing(scope, receive, send_with_id)
        # Nothing that a request brings about may end without an answer and a record.
        except Exception as error:
            _logger.exception("unexpected error", extra=fields(request_id=context.request_id))
            context.problem = "internal-error"
            if status:
                raise  # Half an answer is out; only closing the connection tells the client.
            answer = problem(
                500,
                "internal-error",
                f"an error that Twinlens did not expect ({type(error).__name__}); report it with "
                "the request id",
                request_id=context.request_id,
            )
            await answer(scope, receive, send_with_id)
        finally:
            self._in_flight.requests -= 1
            if context.reservation is not None:
                context.reservation.release()
            self._record(scope, context, status or CLIENT_CLOSED_REQUEST)

    def _record(self, scope: Scope, context: RequestContext, status: int) -> None:
        seconds = perf_counter() - context.started
        # Only routes that exist become labels, or strangers could make metrics without end.
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if route != "other" else "ANY"
        self._metrics.request(route, method, status, seconds)
        # That probes are told what they ask for refuses nobody anything.
        if context.problem is not None and route not in _QUIET:
            self._metrics.rejected(context.problem)
        level = logging.DEBUG if route in _QUIET else logging.INFO
        if _logger.isEnabledFor(level):
            line: dict[str, object] = {
                "request_id": context.request_id,
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "seconds": round(seconds, 6),
                **context.log,
            }
            if context.trace is not None:
                line["trace_id"] = context.trace.trace_id
                line["span_id"] = context.trace.span_id
            if context.problem is not None:
                line["problem"] = context.problem
            _logger.log(level, "request", extra=fields(**line))


def _ending(scope: Scope) -> bool:
    service: Service | None = getattr(scope["app"].state, "service", None)
    return service is not None and (service.draining or service.failure is not None)


def complete(message: Message, path: str, context: RequestContext) -> None:
    """Adds what every answer carries to the headers of this one.

    Args:
        message: The start of the answer, as ASGI has it.
        path: What was asked for.
        context: The request's.
    """
    headers = [*message.get("headers", [])]
    named = {name for name, _ in headers}
    headers.extend(header for header in _HEADERS if header[0] not in named)
    if b"cache-control" not in named:
        value = b"no-cache" if path.startswith(_KEPT) else b"no-store"
        headers.append((b"cache-control", value))
    headers.append((b"x-request-id", context.request_id.encode("ascii")))
    if context.trace is not None:
        headers.append((b"traceparent", context.trace.header.encode("ascii")))
    message["headers"] = headers
