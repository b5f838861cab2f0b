"""`GET /livez`, `/readyz` and `/metrics`."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from app.api.answers import HealthAnswer
from app.api.schemas import READ, problems
from app.api.siblings import siblings_of
from app.api.work import json_response, service_of
from app.inference.errors import NotReady

router = APIRouter(tags=["health"])


@router.get("/livez", summary="Is the process alive?", response_model=HealthAnswer)
@router.api_route("/livez", methods=READ, include_in_schema=False)
async def livez() -> Response:
    """Answers 200 as long as the process answers at all."""
    return json_response({"status": "alive"})


@router.get(
    "/readyz",
    summary="Should requests be sent here?",
    response_model=HealthAnswer,
    responses=problems(503),
)
@router.api_route("/readyz", methods=READ, include_in_schema=False)
async def readyz(request: Request) -> Response:
    """Answers 200 once models, the default one among them, are warm; not if draining or broken."""
    reason = service_of(request).unready_reason()
    siblings = siblings_of(request)
    if reason is None and siblings is not None:
        # The next connection may come to any of them.
        reason = await siblings.unready_reason()
    if reason is not None:
        raise NotReady(reason)
    return json_response({"status": "ready"})


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
@router.api_route("/metrics", methods=READ, include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Everything measured, by all processes of the service, in Prometheus' text format."""
    siblings = siblings_of(request)
    if siblings is not None:
        return Response(await siblings.exposition(), media_type=CONTENT_TYPE_LATEST)
    return Response(await service_of(request).exposition(), media_type=CONTENT_TYPE_LATEST)
