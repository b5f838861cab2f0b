"""`POST /embed`."""

from collections.abc import Awaitable

import numpy as np
from fastapi import APIRouter, Request, Response

from app.api.answers import EmbedAnswer
from app.api.context import context_of
from app.api.fields import FieldNames, Fields
from app.api.limits import Limits
from app.api.schemas import EMBED_BODY, parameters, problems
from app.api.work import compute, json_response, receive, service_of
from app.inference.compare import Embedded, Inference

router = APIRouter(tags=["embed"])

_FIELDS = FieldNames(
    required=("images",),
    parameters=("model", "side"),
    expected="images and optionally model and side",
    raw="images",
)
_BINARY = "application/octet-stream"
_JSON = ("application/json", "application/*", "*/*")
# Characters; to read 64 KiB of commas holds up the event loop for a tenth of a second.
_MOST_OF_ACCEPT = 4096
_HEADERS = {
    "X-Twinlens-Dimension": "Values of an embedding.",
    "X-Twinlens-Count": "Embeddings.",
    "X-Twinlens-Model": "The model's name.",
    "X-Twinlens-Version": "The model's version.",
    "X-Twinlens-Typicality": "How typical each image is of the model's own kind, 0 to 1, commas "
    "between; empty where the model cannot tell.",
}


@router.post(
    "/embed",
    summary="Embed images",
    response_model=EmbedAnswer,
    responses={
        200: {
            "description": "Embeddings as JSON; or, for `Accept: application/octet-stream`, as raw "
            "little-endian float32, row by row, the shape in headers.",
            "content": {_BINARY: {"schema": {"type": "string", "format": "binary"}}},
            "headers": {
                name: {
                    "description": f"{text} Beside raw float32 only.",
                    "schema": {"type": "string"},
                }
                for name, text in _HEADERS.items()
            },
        },
        **problems(),
    },
    openapi_extra={**EMBED_BODY, "parameters": parameters(*_FIELDS.parameters)},
)
async def embed(request: Request) -> Response:
    """The embedding of each image: what `/compare` compares.

    Send files as multipart form data, JSON with their bytes as base64, or one image as it is with
    its own media type.
    """
    service = service_of(request)
    settings = service.settings
    limits = Limits(
        settings.max_body_bytes,
        settings.max_image_bytes,
        settings.max_images + len(_FIELDS.known),
    )
    work = _work(await receive(request, limits, _FIELDS), service.inference)
    result = await compute(request, work)
    model, rows = result.model, result.embeddings
    typicality = None if result.typicality is None else result.typicality.tolist()
    context_of(request.scope).log.update(model=model.name, images=len(rows))
    if _wants_binary(",".join(request.headers.getlist("accept"))):
        listed = ",".join(f"{value:.6g}" for value in typicality or ())
        values = (str(rows.shape[1]), str(rows.shape[0]), model.name, str(model.version), listed)
        return Response(
            rows.astype("<f4", copy=False).tobytes(),
            headers=dict(zip(_HEADERS, values, strict=True)),
            media_type=_BINARY,
        )
    return json_response(
        {
            "model": model.name,
            "version": model.version,
            "dimension": rows.shape[1],
            "embeddings": np.ascontiguousarray(rows),
            "typicality": typicality or [None] * len(rows),
            "in_distribution": result.in_distribution,
        }
    )


async def _work(fields: Fields, inference: Inference) -> tuple[Awaitable[Embedded], int]:
    inference.check_count(len(fields.values("images")))
    images = await fields.images("images", fields.side())
    return inference.embed(images, fields.text("model")), len(images)


def _wants_binary(accept: str) -> bool:
    """Whether raw numbers are asked for by name, and rather than JSON: at equal weights, earlier.

    Programs made from the OpenAPI document list all that a route can answer, JSON first.
    """
    weights: dict[str, float] = {}
    for part in accept[:_MOST_OF_ACCEPT].split(","):
        media_type, *options = (word.strip().lower() for word in part.split(";"))
        weights[media_type] = 1.0
        for option in options:
            if option.startswith("q="):
                weights[media_type] = _weight(option[2:])
    binary = weights.get(_BINARY, 0.0)
    # The first of them that is there decides (RFC 9110, section 12.5.1).
    json = next((kind for kind in _JSON if kind in weights), None)
    if json is None:
        return binary > 0
    if binary == weights[json]:
        kinds = [*weights]
        return binary > 0 and kinds.index(_BINARY) < kinds.index(json)
    return binary > weights[json]


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
