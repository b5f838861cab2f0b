"""The page at `/` and the documentation at `/docs`; both load nothing from elsewhere."""

import functools
import os
from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.staticfiles import NotModifiedResponse, PathLike
from starlette.types import Receive, Scope, Send

from model_store.files import sha256_of

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
        headers = [each for each in scope["headers"] if each[0] != b"range"]
        await super().__call__({**scope, "headers": headers}, receive, send)


class _WholeFiles(StaticFiles):
    """Likewise, of a folder; to a browser that has the same it says so and sends nothing."""

    def file_response(
        self,
        full_path: PathLike,
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        headers = {"ETag": _etag(os.fspath(full_path), stat_result.st_ctime_ns)}
        answer = _WholeFile(full_path, status_code, headers, stat_result=stat_result)
        # A build that can be repeated gives the files of every release the same.
        del answer.headers["last-modified"]
        if self.is_not_modified(answer.headers, Headers(scope=scope)):
            return NotModifiedResponse(answer.headers)
        return answer


@functools.lru_cache(maxsize=32)
def _etag(path: str, changed: int) -> str:  # noqa: ARG001 (read anew once it is another time)
    """Of the content: another release's file may have the same size and time."""
    return f'"{sha256_of(Path(path))}"'


_FILES = _WholeFiles(directory=_STATIC)
_SWAGGER_UI_FILES = _WholeFiles(directory=_SWAGGER_UI)


def install(app: FastAPI) -> None:
    """Adds the pages and their files."""
    app.include_router(router)
    app.mount("/static", _FILES, name="static")


@router.api_route("/", methods=_READ)
async def page() -> Response:
    """The page that compares two images."""
    return _page("index.html")


@router.api_route("/docs", methods=_READ)
async def docs() -> Response:
    """The documentation of the HTTP interface."""
    return _page("docs.html")


@router.api_route("/docs/{name}", methods=_READ)
async def docs_file(name: str, request: Request) -> Response:
    """A file of Swagger UI."""
    if name not in _SWAGGER_FILES:
        raise HTTPException(404)
    return await _SWAGGER_UI_FILES.get_response(name, request.scope)


@router.api_route("/favicon.ico", methods=_READ)
async def favicon(request: Request) -> Response:
    """The page's icon."""
    return await _FILES.get_response("icon.svg", request.scope)


def _page(name: str) -> Response:
    headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    return _WholeFile(_STATIC / name, headers=headers)
