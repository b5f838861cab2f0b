"""The application: everything put together behind HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI

from app import web
from app.api import admin, compare, embed, health, models, problem
from app.api.answers import Problem
from app.api.cors import Cors
from app.api.gate import Gate, routes_of
from app.api.guard import Guard, is_open
from app.api.middleware import InFlight, RequestMiddleware
from app.api.schemas import complete_answers, problems
from app.api.siblings import Siblings
from app.inference.service import Service
from app.observability.metrics import Metrics
from app.observability.tracing import Tracing
from app.security.keys import Keyring
from app.settings import Settings

_DESCRIPTION = """\
Are these two images the same thing? A calibrated image-comparison service.

Errors are `application/problem+json` (RFC 9457); their `detail` says what to do. Every answer
carries an `X-Request-ID`, the request's own if it sent one.
"""


_KEYS = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same key."},
}
"""The ways to send an API key, as OpenAPI's security schemes."""


def create_app(
    settings: Settings,
    *,
    device_socket: Path | None = None,
    siblings: Siblings | None = None,
) -> FastAPI:
    """Makes the application.

    Its models are loaded in the background from the moment its lifespan begins; until they are
    there, `/livez` answers 200 and `/readyz` 503.

    Args:
        settings: What the operator chose.
        device_socket: Where a device process computes for this one, if there is one.
        siblings: The other processes of the same service, if there are any.

    Raises:
        KeyFileError: The file of API keys cannot be read.
        TracingUnavailable: Traces are asked for and cannot be made.
    """
    metrics = Metrics()

    tracing = Tracing(settings.otlp_endpoint) if settings.otlp_endpoint else None

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = Service(settings, metrics, device_socket=device_socket)
        app.state.service = service
        service.start()
        if siblings is not None:
            await siblings.open(service)
        try:
            yield
        finally:
            if siblings is not None:
                await siblings.close()
            await service.close()
            if tracing is not None:
                await asyncio.to_thread(tracing.close)

    app = FastAPI(
        title="Twinlens",
        version=version("twinlens"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # Behind a proxy that ends TLS they would lead to http://, and a client that follows would
        # send its key and its images again for all to read.
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.metrics = metrics
    app.state.in_flight = InFlight()
    app.state.siblings = siblings
    keyring = None if settings.api_keys is None else Keyring(settings.api_keys)
    if keyring is not None:
        metrics.api_keys_stale.set_function(lambda: float(keyring.stale))
    routers = (compare.router, embed.router, models.router, admin.router, health.router)
    taking_images = routes_of((compare.router, embed.router))
    # The last one added is the outermost: also what is refused has an id and a line in the log,
    # and a browser asks by OPTIONS, without a key, whether it may ask.
    app.add_middleware(Gate, routes=taking_images)
    app.add_middleware(
        Guard,
        keyring=keyring,
        paid=taking_images.keys(),
        images_per_second=settings.rate_limit,
        host=settings.host,
        processes=settings.processes,
        routes=routes_of(routers),
    )
    origins = [origin for part in settings.cors_origins.split(",") if (origin := part.strip())]
    if origins:
        app.add_middleware(
            Cors,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["*"],
        )
    app.add_middleware(RequestMiddleware, metrics=metrics, in_flight=app.state.in_flight)
    if tracing is not None:
        app.add_middleware(tracing.around)
    problem.install(app)
    for router in routers:
        app.include_router(router)
    web.install(app)
    _complete_document(app, asks_for_keys=keyring is not None)
    return app


def _complete_document(app: FastAPI, *, asks_for_keys: bool) -> None:
    """Puts what no route names into the OpenAPI document: common answers, and how keys are sent."""
    generate = app.openapi

    def openapi() -> dict[str, object]:
        document = generate()
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).setdefault("Problem", Problem.model_json_schema())
        if asks_for_keys:
            components["securitySchemes"] = _KEYS
            for path, operations in document["paths"].items():
                if not is_open(path):
                    for operation in operations.values():
                        operation["security"] = [{name: []} for name in _KEYS]
                        operation["responses"]["401"] = problems(401)[401]
        complete_answers(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
