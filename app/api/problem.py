"""Errors as `application/problem+json` (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from app.api.context import context_of
from app.inference import errors
from model_store.errors import (
    ImageError,
    ImageTooLarge,
    StoreError,
    TwinlensError,
    UnsupportedImageType,
)

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:twinlens:problem:"

CLIENT_CLOSED_REQUEST = 499
"""What logs and metrics show for a client that left; nobody receives it."""


class BadRequest(TwinlensError):
    """A request that is not as the interface wants it.

    Attributes:
        status: The answer's status.
        slug: The last part of the problem's type.
    """

    status = 400
    slug = "malformed-request"


class UnsupportedBody(BadRequest):
    """A body of a media type that the route does not read."""

    status = 415
    slug = "unsupported-media-type"


class BodyTooLarge(BadRequest):
    """A body over the limit on bytes."""

    status = 413
    slug = "too-many-bytes"


class BodyTooSlow(BadRequest):
    """A body that was not there when the request's time was over."""

    status = 408
    slug = "body-too-slow"


class HeadersTooLarge(BadRequest):
    """A request's headers, target or trailers over a limit."""

    status = 431
    slug = "headers-too-large"


class HeadersTooSlow(BadRequest):
    """Headers that were not there in time."""

    status = 408
    slug = "headers-too-slow"


class ClientGone(BadRequest):
    """The client closed the connection before its answer was there."""

    status = CLIENT_CLOSED_REQUEST
    slug = "client-gone"


# The first class an error is an instance of decides.
_KINDS: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.UnknownModel, 404, "unknown-model"),
    (errors.InvalidInput, 400, "malformed-request"),
    (errors.TooManyBytes, 413, "too-many-bytes"),
    (errors.QueueFull, 429, "queue-full"),
    (errors.DeadlinePassed, 504, "deadline-passed"),
    (errors.NotReady, 503, "not-ready"),
    (errors.EngineFailed, 500, "engine-failed"),
    (UnsupportedImageType, 415, "unsupported-image-type"),
    (ImageTooLarge, 422, "image-too-large"),
    (ImageError, 422, "undecodable-image"),
    (StoreError, 503, "store-unusable"),
    (MemoryError, 503, "out-of-memory"),
)
_RETRY_AFTER_UNREADY = 5


def problem(
    status: int,
    slug: str,
    detail: str,
    *,
    request_id: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error answer.

    Args:
        status: HTTP status.
        slug: The last part of the problem's type, for programs.
        detail: What is wrong and what to do, for people.
        request_id: As in the `X-Request-ID` header.
        headers: Further headers.
    """
    content = {
        "type": _TYPE + slug,
        "title": _title(status),
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }
    return Response(orjson.dumps(content), status, headers, MEDIA_TYPE)


def problem_of(error: Exception, request: Request) -> Response:
    """The answer to an error that was raised on purpose, and its place in the records."""
    status, slug, detail = _classify(error)
    context = context_of(request.scope)
    context.problem = slug
    headers = {}
    if isinstance(error, errors.QueueFull):
        headers["Retry-After"] = str(error.retry_after)
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(_RETRY_AFTER_UNREADY)
    return problem(status, slug, detail, request_id=context.request_id, headers=headers)


def install(app: FastAPI) -> None:
    """Makes every error of the application a problem answer."""

    async def on_purpose(request: Request, error: Exception) -> Response:
        return problem_of(error, request)

    async def by_framework(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        detail, headers = str(error.detail), {**(error.headers or {})}
        if error.status_code == HTTPStatus.NOT_FOUND:
            detail = f"there is nothing at {request.url.path}; see /docs for what there is"
        elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # A route has its methods in no order; older frameworks name none for a folder's files.
            allowed = sorted(headers.get("Allow", "GET, HEAD").split(", "))
            headers["Allow"] = ", ".join(allowed)
            detail = (
                f"{request.method} is not possible at {request.url.path}; use "
                f"{' or '.join(allowed)}"
            )
        context = context_of(request.scope)
        context.problem = _title(error.status_code).lower().replace(" ", "-")
        return problem(
            error.status_code,
            context.problem,
            detail,
            request_id=context.request_id,
            headers=headers,
        )

    app.add_exception_handler(TwinlensError, on_purpose)
    app.add_exception_handler(MemoryError, on_purpose)
    app.add_exception_handler(HTTPException, by_framework)


def _classify(error: Exception) -> tuple[int, str, str]:
    if isinstance(error, BadRequest):
        return error.status, error.slug, str(error)
    for kind, status, slug in _KINDS:
        if isinstance(error, kind):
            if isinstance(error, MemoryError):
                return status, slug, "there is no memory left for this; send smaller images"
            return status, slug, str(error)
    raise error


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client Closed Request"
