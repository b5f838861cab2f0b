"""Turns requests away before they are read, where what they hold could change nothing."""

from dataclasses import dataclass

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problem import problem_of
from app.inference.errors import QueueFull
from app.inference.service import Service

_PATHS = frozenset({"/compare", "/embed"})


@dataclass(frozen=True)
class _Route:
    """What metrics and the log call a request that did not get as far as its route."""

    path: str


class Gate:
    """Answers 429 at once where the queue is full and reading the request would be wasted.

    Reading, routing and parsing is most of what it costs to turn a request away, and the device
    waits for the interpreter meanwhile. `Repeats` tells when it may yet be worth it.

    Args:
        app: The application inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, as ASGI has it."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in _PATHS:
            service: Service = scope["app"].state.service
            try:
                service.turn_away()
            except QueueFull as error:
                scope["route"] = _Route(scope["path"])
                await problem_of(error, Request(scope))(scope, receive, send)
                return
        await self._app(scope, receive, send)
