"""Reads request bodies, with every limit enforced while reading. Nothing goes to disk."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import orjson
from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from app.api.problem import BadRequest, BodyTooLarge, ClientGone, UnsupportedBody
from app.inference.admission import Reservation
from app.inference.errors import TooManyBytes

_MAX_TEXT_BYTES = 4096
# Parsing JSON blocks the event loop: a million numbers for some tenths of a second.
_MAX_JSON_VALUES = 1_000_000
_MEDIA_TYPES = "multipart/form-data or application/json"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a body may hold.

    Attributes:
        body_bytes: All of it.
        part_bytes: One part of a multipart body.
        parts: Parts of a multipart body.
        whole: Fields of a multipart body that only `body_bytes` bounds.
    """

    body_bytes: int
    part_bytes: int
    parts: int
    whole: frozenset[str] = frozenset()


@dataclass(slots=True)
class Body:
    """A body that was read.

    Attributes:
        kind: What it was.
        fields: By name, in order: bytes in a multipart or raw body (a bytearray where `Limits`
            takes the field whole), JSON values in a JSON one.
        size: Its bytes.
    """

    kind: str
    fields: dict[str, list[object]]
    size: int


async def read_body(
    request: Request,
    limits: Limits,
    reservation: Reservation,
    *,
    expected: str,
    raw_field: str | None = None,
) -> Body:
    """Reads a request's body.

    Args:
        request: Its headers say what the body is.
        limits: What it may hold.
        reservation: Where its bytes are accounted for as they come in.
        expected: The fields that the route reads, for messages.
        raw_field: The field that a body of type `image/*` is taken for; None where the route
            reads none.

    Raises:
        UnsupportedBody: Of a media type that is not read.
        BodyTooLarge, TooManyBytes: Over a limit.
        BadRequest: Empty, cut short, or not what its media type says.
        QueueFull: The requests in work leave no room for its bytes.
        ClientGone: The connection was closed before its end.
    """
    header = request.headers.get("content-type", "")
    media_type, options = parse_options_header(header)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal():
        if int(declared) > limits.body_bytes:
            raise _too_large(limits)
        reservation.expect(int(declared))
    if media_type == b"multipart/form-data":
        body = await _read_multipart(request, limits, reservation, options.get(b"boundary", b""))
    else:
        data = await _read_all(request, limits, reservation)
        if data and media_type == b"application/json":
            body = Body("json", _json_fields(data, expected), len(data))
        elif data and raw_field is not None and media_type.startswith(b"image/"):
            body = Body("raw", {raw_field: [data]}, len(data))
        elif data:
            read = _MEDIA_TYPES if raw_field is None else f"{_MEDIA_TYPES}, or one image as image/*"
            raise UnsupportedBody(
                f"a body of type '{media_type.decode('latin-1') or 'none given'}' is not read "
                f"here; send {read}, with the fields {expected}"
            )
        else:
            body = Body("empty", {}, 0)
    if not body.size:
        raise BadRequest(f"the body is empty; send {_MEDIA_TYPES} with the fields {expected}")
    return body


async def _chunks(
    request: Request, limits: Limits, reservation: Reservation
) -> AsyncIterator[bytes]:
    """A body as it comes in, with its limits enforced."""
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limits.body_bytes:
                raise _too_large(limits)
            reservation.grow(len(chunk))
            if chunk:
                yield chunk
    except ClientDisconnect:
        raise ClientGone("the client left while sending") from None


async def _read_all(request: Request, limits: Limits, reservation: Reservation) -> bytes:
    chunks = [chunk async for chunk in _chunks(request, limits, reservation)]
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _read_multipart(
    request: Request, limits: Limits, reservation: Reservation, boundary: bytes
) -> Body:
    if not boundary:
        raise BadRequest(
            "the Content-Type of a multipart body must name its boundary; let the HTTP client "
            "library set that header"
        )
    form = _Form(limits)
    size = 0
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": form.on_part_begin,
                "on_header_field": form.on_header_field,
                "on_header_value": form.on_header_value,
                "on_header_end": form.on_header_end,
                "on_headers_finished": form.on_headers_finished,
                "on_part_data": form.on_part_data,
                "on_part_end": form.on_part_end,
                "on_end": form.on_end,
            },
        )
        async for chunk in _chunks(request, limits, reservation):
            size += len(chunk)
            parser.write(chunk)
    except FormParserError as error:
        raise BadRequest(f"the multipart body is malformed: {error}") from None
    if size and not form.ended:
        raise BadRequest("the multipart body ends before its closing boundary; send all of it")
    return Body("multipart", form.fields, size)


def _json_fields(data: bytes, expected: str) -> dict[str, list[object]]:
    if data.count(b",") >= _MAX_JSON_VALUES:
        raise TooManyBytes(
            f"the JSON body has more than {_MAX_JSON_VALUES:,} values; send embeddings as raw "
            "little-endian float32 in the field 'embeddings' of a multipart body"
        )
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadRequest(f"the body must be a JSON object with the fields {expected}")
    return {
        name: value if isinstance(value, list) else [value]
        for name, value in document.items()
        if value is not None
    }


def _too_large(limits: Limits) -> BodyTooLarge:
    return BodyTooLarge(
        f"the body is over the limit of {limits.body_bytes:,} bytes; send smaller images, or "
        "fewer in one request"
    )


@dataclass(slots=True)
class _Form:
    """Collects the parts of a multipart body as the parser comes upon them."""

    limits: Limits
    fields: dict[str, list[object]] = field(default_factory=dict)
    ended: bool = False
    _parts: int = 0
    _name: str = ""
    _limit: int = 0
    _header: bytes = b""
    _value: bytes = b""
    _disposition: bytes = b""
    _size: int = 0
    _data: list[memoryview] = field(default_factory=list)
    _whole: bytearray = field(default_factory=bytearray)

    def on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > self.limits.parts:
            raise BadRequest(
                f"the body has more than {self.limits.parts} parts; send fewer in one request"
            )
        self._disposition = b""
        self._size = 0
        self._data = []
        self._whole = bytearray()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise BadRequest("a part of the multipart body has no name in Content-Disposition")
        self._name = options[b"name"].decode("utf-8", "replace")
        if self._name in self.limits.whole:
            self._limit = self.limits.body_bytes
        elif b"filename" in options:
            self._limit = self.limits.part_bytes
        else:
            # Some clients send images without a file name, so text is not told by its absence.
            text = self._name in ("model", "side")
            self._limit = _MAX_TEXT_BYTES if text else self.limits.part_bytes

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._size > self._limit:
            raise TooManyBytes(
                f"{self._name[:100]}: over the limit of {self._limit:,} bytes; send a smaller one"
            )
        if self._name in self.limits.whole:
            # Copied while it is in the processor's cache, and the pieces are free to be used again.
            self._whole += memoryview(data)[start:end]
        else:
            self._data.append(memoryview(data)[start:end])

    def on_part_end(self) -> None:
        # What may be tens of megabytes is worked on where it lies, which takes a buffer of its own.
        whole = self._name in self.limits.whole
        content = self._whole if whole else b"".join(self._data)
        self.fields.setdefault(self._name, []).append(content)

    def on_end(self) -> None:
        self.ended = True
