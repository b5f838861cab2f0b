"""`POST /admin/reload`."""

import asyncio

from fastapi import APIRouter, Request, Response

from app.api.answers import ReloadAnswer
from app.api.schemas import problems
from app.api.siblings import siblings_of
from app.api.work import json_response, service_of

router = APIRouter(tags=["admin"])


@router.post(
    "/admin/reload",
    summary="Look through the store now",
    response_model=ReloadAnswer,
    responses=problems(403, 503),
)
async def reload(request: Request) -> Response:
    """Loads what is new in the store without waiting for the next look; an admin key's right."""
    siblings = siblings_of(request)
    if siblings is None:
        catalogue = await service_of(request).look()
    else:
        catalogue, _ = await asyncio.gather(service_of(request).look(), siblings.look())
    answer = ReloadAnswer(
        models={name: model.version for name, model in catalogue.models.items()},
        refused=[f"{refusal.name}/{refusal.version}" for refusal in catalogue.refused],
    )
    return json_response(answer.model_dump(mode="json"))
