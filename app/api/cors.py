"""Which pages of other origins may use the service."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.context import context_of
from app.api.problem import problem

_SLUG = "cross-origin-refused"


class Cors(CORSMiddleware):
    """As Starlette has it, but what is refused is a problem, and is counted."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a browser that asks whether a page may ask."""
        answer = super().preflight_response(request_headers)
        return answer if answer.status_code < HTTPStatus.BAD_REQUEST else _Refused(answer)


class _Refused(Response):
    """Makes a problem of an answer, with what it says to browsers.

    Args:
        answer: Starlette's.
    """

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, as ASGI has it."""
        said = bytes(self._answer.body).decode()
        context = context_of(scope)
        context.problem = _SLUG
        answer = problem(
            HTTPStatus.BAD_REQUEST,
            _SLUG,
            f"a page of another origin may not do this ({said}); pages of the origins in "
            "TWINLENS_CORS_ORIGINS may, by GET and POST",
            request_id=context.request_id,
            headers={
                name: value
                for name, value in self._answer.headers.items()
                if not name.startswith("content-")
            },
        )
        await answer(scope, receive, send)
