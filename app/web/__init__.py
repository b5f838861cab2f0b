"""The page at `/` and the documentation at `/docs`; both load nothing from elsewhere."""

from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

_STATIC = Path(__file__).parent / "static"
# The package is a plain way to have Swagger UI's files; nothing of its code is used.
_SWAGGER_UI = Path(fastapi_offline.__file__).parent / "static"
_SWAGGER_FILES = ("swagger-ui-bundle.js", "swagger-ui.css")

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# By HEAD, health checkers ask whether the pages are there.
_READ = ["GET", "HEAD"]

router = APIRouter(include_in_schema=False)


class _WholeFile(FileResponse):
    """A file, and never a part: errors of ranges would be plain text, and no problem documents."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(_without_range(scope), receive, send)


class _WholeFiles(StaticFiles):
    """Likewise, of a folder."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(_without_range(scope), receive, send)


def _without_range(scope: Scope) -> Scope:
    return {**scope, "headers": [each for each in scope["headers"] if each[0] != b"range"]}


def install(app: FastAPI) -> None:
    """Adds the pages and their files."""
    app.include_router(router)
    app.mount("/static", _WholeFiles(directory=_STATIC), name="static")


@router.api_route("/", methods=_READ)
async def page() -> Response:
    """The page that compares two images."""
    return _page("index.html")


@router.api_route("/docs", methods=_READ)
async def docs() -> Response:
    """The documentation of the HTTP interface."""
    return _page("docs.html")


@router.api_route("/docs/{name}", methods=_READ)
async def docs_file(name: str) -> Response:
    """A file of Swagger UI."""
    if name not in _SWAGGER_FILES:
        raise HTTPException(404)
    return _WholeFile(_SWAGGER_UI / name)


@router.api_route("/favicon.ico", methods=_READ)
async def favicon() -> Response:
    """The page's icon."""
    return _WholeFile(_STATIC / "icon.svg", media_type="image/svg+xml")


def _page(name: str) -> Response:
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    return _WholeFile(_STATIC / name, headers=headers)
