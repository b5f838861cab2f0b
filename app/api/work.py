"""What every route that works on images does: readiness, deadline, and a client that leaves."""

import asyncio
import math
from collections.abc import Awaitable
from typing import TypeVar

import orjson
from fastapi import Request, Response

from app.api.context import context_of
from app.api.fields import FieldNames, Fields, parameters_of
from app.api.limits import Limits
from app.api.problem import BadRequest, BodyTooSlow, ClientGone, UnsupportedBody
from app.api.uploads import read_body
from app.inference.errors import (
    DeadlinePassed,
    InvalidInput,
    NotReady,
    QueueFull,
    TooManyBytes,
    UnknownModel,
)
from app.inference.service import Service

T = TypeVar("T")

_UNSERVED = (UnknownModel, InvalidInput, TooManyBytes, QueueFull, NotReady)
"""What a request is refused for of which no image was looked at, or that is the service's fault."""


def service_of(request: Request) -> Service:
    """The service that the application runs."""
    service: Service = request.app.state.service
    return service


async def receive(request: Request, limits: Limits, names: FieldNames) -> Fields:
    """Reads a request that the service is ready for.

    Args:
        request: The request.
        limits: What the body may hold.
        names: Of the fields that the route reads.

    Raises:
        NotReady: No request can be served now.
        UnsupportedBody: It is compressed, or as `read_body`.
        BodyTooSlow: The body was not there in time.
        QueueFull: The requests in work leave no room for the body's bytes.
        BadRequest: As `read_body` and `Fields`.
        TooManyBytes: As `read_body`.
    """
    service = service_of(request)
    reason = service.hindrance()
    if reason is not None:
        raise NotReady(reason)
    encoding = request.headers.get("content-encoding", "")
    if encoding.lower() not in ("", "identity"):
        raise UnsupportedBody(
            f"a body with Content-Encoding '{encoding[:100]}' is not read here; send it as it is"
        )
    deadline = _deadline(request)
    reservation = service.admission.reserve()
    context_of(request.scope).reservation = reservation
    try:
        with service.metrics.timed("read"):
            async with asyncio.timeout_at(deadline):
                body = await read_body(
                    request, limits, reservation, expected=names.expected, raw_field=names.raw
                )
    except TimeoutError:
        raise BodyTooSlow(
            "the body was not there within the request's time; send it faster, or less of it"
        ) from None
    return Fields(body, parameters_of(request), names, limits.part_bytes)


async def compute(request: Request, prepared: Awaitable[tuple[Awaitable[T], int]]) -> T:
    """Awaits the work for a request, unless its time is over or its client leaves before.

    Args:
        request: The request.
        prepared: Gives the work, and how many images it is about. To make images of base64 takes
            long where there is much of it, and is as little wanted once nobody waits for it. What
            was received should be known to it alone: base64 is there a second time once images are
            made of it, and numbers of a JSON text take ten times the bytes that are counted.

    Raises:
        DeadlinePassed: The time is over; the work was cancelled.
        ClientGone: The client left; the work was cancelled.
    """
    deadline = _deadline(request)
    try:
        async with asyncio.timeout_at(deadline):
            return await _while_connected(request, _paid(request, prepared))
    except TimeoutError:
        raise DeadlinePassed(
            "the request's time was over before its answer was there; send fewer images, allow "
            "more time in X-Request-Timeout, or try again when there is less to do"
        ) from None


def json_response(content: object) -> Response:
    """An answer as JSON; NumPy arrays become lists."""
    return Response(
        orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json"
    )


def _deadline(request: Request) -> float:
    """The event loop's time at which the request's time is over."""
    context = context_of(request.scope)
    seconds = service_of(request).settings.request_timeout
    if context.timeout_header is not None:
        try:
            wanted = float(context.timeout_header)
        except ValueError:
            wanted = math.nan
        if not wanted > 0:
            raise BadRequest("X-Request-Timeout must be a number of seconds above 0")
        seconds = min(seconds, wanted)
    return context.arrived + seconds


async def _paid(request: Request, prepared: Awaitable[tuple[Awaitable[T], int]]) -> T:
    """What comes of the work; the request's key pays for its images.

    But for the first, which is paid for already, and is given back where there is none. It gets the
    others back if the request is refused before they are looked at.
    """
    work, images = await prepared
    bucket, further = context_of(request.scope).bucket, images - 1
    if bucket is None:
        return await work
    bucket.charge(further)
    try:
        return await work
    except _UNSERVED:
        bucket.give_back(further)
        raise


async def _while_connected(request: Request, work: Awaitable[T]) -> T:
    task = asyncio.current_task()
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        if task is not None:
            task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if gone and task is not None and not task.uncancel():
            raise ClientGone("the client left before its answer was there") from None
        raise
    finally:
        watcher.cancel()
