"""`POST /admin/reload`."""

from fastapi import APIRouter, Request, Response

from app.api.answers import ReloadAnswer
from app.api.schemas import problems
from app.api.work import json_response, service_of

router = APIRouter(tags=["admin"])


@router.post(
    "/admin/reload",
    summary="Look through the store now",
    response_model=ReloadAnswer,
    responses=problems(401, 403, 503),
)
async def reload(request: Request) -> Response:
    """Loads what is new in the store without waiting for the next look; an admin key's right."""
    catalogue = await service_of(request).look()
    answer = ReloadAnswer(
        models={name: model.version for name, model in catalogue.models.items()},
        refused=[f"{refusal.name}/{refusal.version}" for refusal in catalogue.refused],
    )
    return json_response(answer.model_dump(mode="json"))
