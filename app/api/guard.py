"""Asks every request for its key before anything of its body is read."""

import ipaddress
from collections.abc import Collection, Iterable, Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.context import RequestContext, context_of
from app.api.problem import problem
from app.security.keys import KeyRecord, Keyring
from app.security.keys import Scope as KeyScope
from app.security.limiter import Bucket

# What probes, Prometheus and a person with a browser need before they have a key. None of it says
# anything of images. /metrics names models, and /readyz what is wrong with one, for whoever has to
# mend it; docs/security.md says how to keep that inside.
_OPEN = frozenset({"/", "/livez", "/readyz", "/metrics", "/docs", "/openapi.json", "/favicon.ico"})
_OPEN_FOLDERS = ("/docs/", "/static/")
_ADMIN = "/admin/"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_open(path: str) -> bool:
    """Whether no key is asked for there."""
    return path in _OPEN or path.startswith(_OPEN_FOLDERS)


class Guard:
    """Lets in requests with a key that is good for them, as many as it may send.

    Without keys everybody is let in; but what needs an admin key, only on loopback.

    Args:
        app: The application inside.
        keyring: The keys; None where none are asked for.
        paid: The routes that take images, by method and path: what a key pays for.
        images_per_second: For keys that have no limit of their own; 0 for none.
        host: The address that the service listens on.
        processes: How many the service has; each lets in its share of a key's images.
        routes: By method and path; what is refused here is counted under them.
    """

    def __init__(
        self,
        app: ASGIApp,
        keyring: Keyring | None,
        paid: Collection[tuple[str, str]],
        images_per_second: float,
        host: str,
        processes: int = 1,
        routes: Mapping[tuple[str, str], object] | None = None,
    ) -> None:
        self._app = app
        self._routes = routes or {}
        self._keyring = keyring
        self._paid = frozenset(paid)
        self._images_per_second = images_per_second
        self._processes = processes
        self._open_admin = is_loopback(host)
        self._buckets: dict[str, tuple[float, Bucket]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, as ASGI has it."""
        if scope["type"] != "http" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        context = context_of(scope)
        refusal = self._refusal(scope, context)
        if refusal is None:
            await self._app(scope, receive, send)
            return
        status, slug, detail, headers = refusal
        context.problem = slug
        # Nothing further in will find it.
        scope["route"] = self._routes.get((scope["method"], scope["path"]))
        answer = problem(status, slug, detail, request_id=context.request_id, headers=headers)
        await answer(scope, receive, send)

    def _refusal(
        self, scope: Scope, context: RequestContext
    ) -> tuple[int, str, str, dict[str, str]] | None:
        admin = scope["path"].startswith(_ADMIN)
        if self._keyring is None:
            if admin and not self._open_admin:
                detail = (
                    "this needs an admin key, and the service has no keys; make one with "
                    "python -m app key create, and set TWINLENS_API_KEYS"
                )
                return 403, "admin-needs-keys", detail, {}
            return None
        challenge = {"WWW-Authenticate": 'Bearer realm="twinlens"'}
        key = _key_of(scope["headers"])
        if key is None:
            detail = "send an API key: Authorization: Bearer KEY, or X-API-Key: KEY"
            return 401, "key-missing", detail, challenge
        record = self._keyring.find(key)
        if record is None:
            detail = "this API key is not known here, or was revoked; ask for a new one"
            return 401, "key-unknown", detail, challenge
        context.log["key"] = record.id
        if admin and record.scope is not KeyScope.ADMIN:
            detail = f"key {record.id} may not do this; use one with the scope 'admin'"
            return 403, "key-not-allowed", detail, {}
        if (scope["method"], scope["path"]) not in self._paid:
            return None
        bucket = self._bucket(record)
        wait = 0 if bucket is None else bucket.enter()
        if wait:
            detail = f"key {record.id} has sent more images than it may; try again in {wait} s"
            return 429, "rate-limited", detail, {"Retry-After": str(wait)}
        context.bucket = bucket
        return None

    def _bucket(self, record: KeyRecord) -> Bucket | None:
        own = record.images_per_second
        rate = self._images_per_second if own is None else own
        if not rate:
            return None
        known = self._buckets.get(record.id)
        if known is None or known[0] != rate:
            known = self._buckets[record.id] = (rate, Bucket(rate / self._processes))
        return known[1]


def _key_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The key that was sent; in `X-API-Key` before `Authorization`, which may be a proxy's."""
    bearer = None
    for name, value in headers:
        if name == b"x-api-key":
            key = value.decode("latin-1").strip()
            if key:
                return key
        elif name == b"authorization" and bearer is None:
            kind, _, key = value.decode("latin-1").partition(" ")
            if kind.lower() == "bearer":
                bearer = key.strip() or None
    return bearer
