"""Takes requests for images straight to their endpoints, or turns them away unread."""

from collections.abc import Iterable, Mapping

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.fields import check_query
from app.api.problem import problem_of
from app.inference.service import Service
from model_store.errors import TwinlensError

# What lies in the body of one against many may all be known, or embeddings.
_TURNED_AWAY = frozenset({"/compare", "/embed"})

Routes = Mapping[tuple[str, str], APIRoute]
"""By method and path."""


def routes_of(routers: Iterable[APIRouter]) -> Routes:
    """The routes of some routers."""
    return {
        (method, route.path): route
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }


class Gate:
    """Calls the endpoints of some routes itself.

    FastAPI's way from here to an endpoint takes a fifth of the CPU time that a request costs beside
    decoding and network, and these endpoints want nothing of it: they take the request as it is and
    give an answer. Whatever is asked of their paths in another way goes FastAPI's, which parses
    every query string: one that would take long is refused before.

    Where the queue is full and reading the request would be wasted, the answer is 429 at once.
    Reading and parsing is most of what it costs to turn a request away, and the device waits for
    the interpreter meanwhile. `Repeats` tells when it may yet be worth it.

    Args:
        app: The application inside.
        routes: Each endpoint takes nothing but a `Request`.
    """

    def __init__(self, app: ASGIApp, routes: Routes) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            answer = await self._answer(request)
        except (TwinlensError, MemoryError) as error:
            answer = problem_of(error, request)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> ASGIApp:
        """What answers: what the endpoint gives, or FastAPI."""
        scope = request.scope
        route = self._routes.get((scope["method"], scope["path"]))
        if route is None:
            # FastAPI parses it, whether or not the route reads any of it.
            check_query(request)
            return self._app
        scope["route"] = route
        service: Service = scope["app"].state.service
        if route.path in _TURNED_AWAY:
            service.turn_away()
        response: ASGIApp = await route.endpoint(request)
        return response
