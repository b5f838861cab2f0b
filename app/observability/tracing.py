"""Traces by OpenTelemetry, where its packages are installed (the extra `tracing`)."""

import logging
import threading
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model_store.errors import TwinlensError

_logger = logging.getLogger(__name__)

_SERVICE = "service.name"
_SENT = "twinlens.headers"
# Searched for in scheme://host/path, of which clients choose both the host and the path.
_NOT_TRACED = r"^[^/]*//[^/]*/(livez|readyz|metrics)\Z"
# With 25 s of draining and 2 s for last answers it stays below the 30 s that compose waits.
_CLOSING_SECONDS = 2.0


class TracingUnavailable(TwinlensError):
    """Traces are asked for, and the packages for them are not installed."""


class Tracing:
    """Sends a span for each request to a collector.

    Args:
        endpoint: Where the collector takes OTLP over HTTP, such as `http://host:4318/v1/traces`.

    Raises:
        TracingUnavailable: The packages are not installed.
    """

    def __init__(self, endpoint: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
        except ImportError as error:
            raise TracingUnavailable(
                "TWINLENS_OTLP_ENDPOINT is set and OpenTelemetry is not installed; "
                "pip install --editable '.[tracing]', or leave it unset"
            ) from error
        # From OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, or else a name that says it is none.
        resource = Resource.create()
        if str(resource.attributes[_SERVICE]).startswith("unknown_service"):
            resource = resource.merge(Resource({_SERVICE: "twinlens"}))
        self._provider = TracerProvider(resource=resource)
        self._exporter: SpanExporter = OTLPSpanExporter(endpoint=endpoint)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))

    def around(self, app: ASGIApp) -> ASGIApp:
        """The application with a span around each request."""
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

        traced: ASGIApp = OpenTelemetryMiddleware(
            _within_span(app),
            default_span_details=lambda scope: (scope.get("method", scope["type"]), {}),
            tracer_provider=self._provider,
            excluded_urls=_NOT_TRACED,
            exclude_spans=["receive", "send"],
        )
        return _with_headers_that_decode(traced)

    def close(self) -> None:
        """Sends what has not been sent yet, if the collector takes it within two seconds."""
        # It waits until the exporter has given up, which takes it 10 s for each batch. A thread of
        # asyncio's would be waited for at the end; a daemon is not.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSING_SECONDS)
        if closing.is_alive():
            _logger.warning(
                "the last spans are lost: the collector did not take them within %g s; see that it "
                "is up, and that TWINLENS_OTLP_ENDPOINT leads to it",
                _CLOSING_SECONDS,
            )
            # Ends the retries.
            self._exporter.shutdown()


def _with_headers_that_decode(app: ASGIApp) -> ASGIApp:
    """Gives what makes spans no headers that it fails on; `_within_span` undoes it.

    It takes a header for UTF-8, or else for text with backslash escapes. One that is neither is an
    error to it, outside of all that would answer and count the request. HTTP itself has Latin-1.
    """

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        sent = scope.get("headers", [])
        if not all(value.isascii() for _, value in sent):
            # Not in a copy of the scope: the server looks for things in its own.
            scope[_SENT] = sent
            scope["headers"] = [(name, _decodable(value)) for name, value in sent]
        await app(scope, receive, send)

    return outer


def _decodable(value: bytes) -> bytes:
    try:
        value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1").encode()
    return value


def _within_span(app: ASGIApp) -> Callable[[Scope, Receive, Send], object]:
    """Tells the application of its span as if the client had sent it: logs then name the trace.

    The span is named by its route, once that is known. Paths would be names without end, which
    strangers choose.
    """
    from opentelemetry import trace

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        if _SENT in scope:
            scope["headers"] = scope.pop(_SENT)
        span = trace.get_current_span()
        context = span.get_span_context()
        if scope["type"] != "http" or not context.is_valid:
            await app(scope, receive, send)
            return
        parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        others = [header for header in scope["headers"] if header[0] != b"traceparent"]
        scope["headers"] = [*others, (b"traceparent", parent.encode("ascii"))]

        async def send_named(message: Message) -> None:
            route = getattr(scope.get("route"), "path", None)
            # The span ends with the answer.
            if message["type"] == "http.response.start" and route is not None:
                span.update_name(f"{scope['method']} {route}")
            await send(message)

        await app(scope, receive, send_named)

    return inner
