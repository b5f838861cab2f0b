"""`GET /models` and `GET /models/{name}`."""

from fastapi import APIRouter, Request, Response

from app.api.answers import EngineAnswer, InputAnswer, ModelAnswer, ModelsAnswer, RefusedAnswer
from app.api.schemas import NAME, READ, problems
from app.api.work import json_response, service_of
from app.inference.catalogue import Catalogue, LoadedModel

router = APIRouter(tags=["models"])


@router.get("/models", summary="What is loaded", response_model=ModelsAnswer)
@router.api_route("/models", methods=READ, include_in_schema=False)
async def models(request: Request) -> Response:
    """The loaded models, the default one, and versions in the store that were refused."""
    catalogue = service_of(request).catalogue
    answer = ModelsAnswer(
        default=catalogue.default_model,
        models=[_describe(model, catalogue) for model in catalogue.models.values()],
        failed=[
            RefusedAnswer(name=refusal.name, version=refusal.version, error=refusal.error)
            for refusal in catalogue.refused
        ],
    )
    return json_response(answer.model_dump(mode="json"))


@router.get(
    "/models/{name}",
    summary="One model",
    response_model=ModelAnswer,
    responses=problems(404, 503),
    openapi_extra={"parameters": [NAME]},
)
@router.api_route("/models/{name}", methods=READ, include_in_schema=False)
async def model(request: Request) -> Response:
    """The model of that name or alias."""
    catalogue = service_of(request).catalogue
    found = catalogue.find(request.path_params["name"])
    return json_response(_describe(found, catalogue).model_dump(mode="json"))


def _describe(model: LoadedModel, catalogue: Catalogue) -> ModelAnswer:
    manifest, engine = model.manifest, model.engine
    spec = manifest.preprocessing
    return ModelAnswer(
        name=model.name,
        version=model.version,
        description=manifest.description,
        metric=manifest.metric,
        dimension=manifest.dimension,
        symmetric=manifest.symmetric,
        input=InputAnswer(height=spec.height, width=spec.width, mode=spec.mode, resize=spec.resize),
        default=catalogue.default_model == model.name,
        aliases=catalogue.aliases_of(model.name),
        calibration=manifest.calibration,
        typicality=manifest.typicality,
        evaluations=list(manifest.evaluations),
        weights_sha256=manifest.weights.sha256,
        engine=EngineAnswer(
            name=engine.name,
            device=engine.device,
            precision=engine.precision,
            reason=engine.reason,
        ),
    )
