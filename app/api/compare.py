"""`POST /compare` and `POST /compare/many`."""

from collections.abc import Awaitable

import numpy as np
from fastapi import APIRouter, Request, Response

from app.api.answers import ComparisonAnswer, ManyAnswer
from app.api.context import context_of
from app.api.fields import (
    FieldNames,
    Fields,
    check_count,
    check_nested,
    embedding_from_json,
    embeddings_from_bytes,
    embeddings_from_json,
    is_embedding,
)
from app.api.limits import Limits
from app.api.problem import BadRequest
from app.api.records import json_records
from app.api.schemas import COMPARE_BODY, MANY_BODY, parameters, problems
from app.api.work import compute, json_response, receive, service_of
from app.inference.compare import Comparison, Inference
from app.inference.embedder import EncodedImage
from app.inference.engines.base import Embeddings
from app.inference.service import Service
from app.inference.threads import in_thread
from model_store.network import Side

router = APIRouter(tags=["compare"])

_PAIR_FIELDS = FieldNames(
    required=("image_a", "image_b"),
    parameters=("model",),
    expected="image_a, image_b and optionally model",
)
_MANY_FIELDS = FieldNames(
    required=("query",),
    others=("candidates", "embeddings"),
    parameters=("model",),
    expected="query, candidates and optionally model",
)

# Writing so many results takes under a millisecond; more are not written on the event loop.
_RANKED_INLINE = 1024


@router.post(
    "/compare",
    summary="Compare two images",
    response_model=ComparisonAnswer,
    responses=problems(),
    openapi_extra={**COMPARE_BODY, "parameters": parameters(*_PAIR_FIELDS.parameters)},
)
async def compare(request: Request) -> Response:
    """Whether two images show the same thing: score, calibrated probability, decision.

    Send two files as multipart form data, or JSON with the files' bytes as base64.
    """
    service = service_of(request)
    settings = service.settings
    limits = Limits(settings.max_body_bytes, settings.max_image_bytes, len(_PAIR_FIELDS.known))
    work = _pair(await receive(request, limits, _PAIR_FIELDS), service.inference)
    comparison = await compute(request, work)
    context_of(request.scope).log.update(model=comparison.model.name, images=2)
    typicality = comparison.typicality
    return json_response(
        {
            **{
                name: value[0] if isinstance(value, list | np.ndarray) else value
                for name, value in _judged(comparison).items()
            },
            "typicality_a": comparison.query_typicality,
            "typicality_b": None if typicality is None else typicality[0],
        }
    )


@router.post(
    "/compare/many",
    summary="Compare one image with many",
    response_model=ManyAnswer,
    responses=problems(),
    openapi_extra={**MANY_BODY, "parameters": parameters(*_MANY_FIELDS.parameters)},
)
async def compare_many(request: Request) -> Response:
    """Ranks candidates by likeness to the query, most alike first.

    Candidates are files (multipart), base64 (JSON), or embeddings from `/embed` by the same model:
    lists of numbers (JSON) or the raw bytes in the field `embeddings` (multipart).
    """
    service = service_of(request)
    settings = service.settings
    limits = Limits(
        settings.max_many_body_bytes,
        settings.max_image_bytes,
        settings.max_images + len(_MANY_FIELDS.known),
        frozenset({"embeddings"}),
    )
    work = _one_with_many(await receive(request, limits, _MANY_FIELDS), service)
    comparison = await compute(request, work)
    candidates = len(comparison.ranking)
    context_of(request.scope).log.update(model=comparison.model.name, candidates=candidates)
    if candidates <= _RANKED_INLINE:
        return _ranked(comparison)
    return await in_thread(lambda: _ranked(comparison))


async def _pair(fields: Fields, inference: Inference) -> tuple[Awaitable[Comparison], int]:
    left = await fields.image("image_a", Side.LEFT)
    right = await fields.image("image_b", Side.RIGHT)
    return inference.compare(left, right, fields.text("model")), 2


async def _one_with_many(fields: Fields, service: Service) -> tuple[Awaitable[Comparison], int]:
    name = fields.text("model")
    dimension = service.catalogue.find(name).manifest.dimension
    candidates = await _candidates(fields, service, dimension)
    query = await _query(fields)
    sent_in = "embeddings" if fields.values("embeddings") else "candidates"
    images = len(candidates) if isinstance(candidates, list) else 0
    images += isinstance(query, EncodedImage)
    return service.inference.compare_many(query, candidates, name, label=sent_in), images


def _ranked(comparison: Comparison) -> Response:
    model = comparison.model
    return json_response(
        {
            "model": model.name,
            "version": model.version,
            "metric": model.manifest.metric,
            "query_typicality": comparison.query_typicality,
            "results": json_records(
                {
                    **_judged(comparison),
                    "index": comparison.ranking,
                    "typicality": comparison.typicality,
                }
            ),
        }
    )


def _judged(comparison: Comparison) -> dict[str, object]:
    """What a model says of each candidate: a column, or what it says of all of them."""
    judgement, model = comparison.judgement, comparison.model
    return {
        "model": model.name,
        "version": model.version,
        "metric": model.manifest.metric,
        "score": judgement.scores,
        "probability": judgement.probabilities,
        "threshold": judgement.threshold,
        "same": judgement.same,
        "in_distribution": comparison.in_distribution,
    }


def _filled(values: list[object]) -> list[object]:
    """The values of a field; none if it has empty files only."""
    empty = all(isinstance(value, bytes | np.ndarray) and not len(value) for value in values)
    return [] if empty else values


def _query_is_an_embedding(fields: Fields) -> bool:
    """Whether it is: a JSON list of numbers is one embedding, not many queries."""
    values = fields.values("query")
    return bool(values) and not isinstance(values[0], (str, bytes))


async def _query(fields: Fields) -> EncodedImage | Embeddings:
    if _query_is_an_embedding(fields):
        return embedding_from_json("query", fields.values("query"))
    return await fields.image("query", Side.LEFT)


async def _candidates(
    fields: Fields, service: Service, dimension: int
) -> list[EncodedImage] | Embeddings:
    limit = service.settings.max_candidates
    values = fields.values("candidates")
    raw = fields.values("embeddings")
    if values and raw:
        # Forms send what was left empty, too.
        values, raw = _filled(values), _filled(raw)
    if bool(values) == bool(raw):
        raise BadRequest(
            "send candidates: files, base64 images or lists of numbers in the field 'candidates'; "
            "or raw float32 in the field 'embeddings'; one of the two fields"
        )
    if raw:
        if len(raw) > 1 or not isinstance(raw[0], np.ndarray):
            raise BadRequest("embeddings: send one part of raw float32 bytes, as multipart")
        rows = embeddings_from_bytes("embeddings", raw[0], dimension)
        check_count("embeddings", len(rows), limit)
        return rows
    check_nested("candidates", values)
    if is_embedding(values[0]):
        check_count("candidates", len(values), limit)
        return embeddings_from_json("candidates", values)
    service.inference.check_count(len(values) + (not _query_is_an_embedding(fields)))
    return await fields.images("candidates", Side.RIGHT)
