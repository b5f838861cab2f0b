"""Reads request bodies, with every limit enforced while reading. Nothing goes to disk."""

import gc
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import orjson
from fastapi import Request
from python_multipart.multipart import parse_options_header

from app.api.form import Form
from app.api.limits import Limits
from app.api.multipart import MultipartReader
from app.api.problem import BadRequest, BodyTooLarge, ClientGone, UnsupportedBody
from app.api.sink import Sink
from app.inference.admission import Reservation
from app.inference.errors import TooManyBytes

# Parsing JSON blocks the event loop: a million values for some tenths of a second.
_MAX_JSON_VALUES = 1_000_000
_COUNTED_BYTES = 1 << 18
_PIECE_BYTES = 16_384
# A boundary has 70 at most; to parse tens of thousands holds up the event loop.
_MOST_TYPE_CHARACTERS = 1024
_MEDIA_TYPES = "multipart/form-data or application/json"


@dataclass(slots=True)
class Body:
    """A body that was read.

    Attributes:
        fields: By name, in order: bytes in a multipart or raw body (a NumPy array of them where
            `Limits` takes the field whole), JSON values in a JSON one.
        size: Its bytes.
    """

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
        UnsupportedBody: Of a media type that is not read, with a part that is encoded, or
            compressed on its way.
        BodyTooLarge, TooManyBytes: Over a limit.
        BadRequest: Empty, cut short, or not what its media type says; or that is too long.
        QueueFull: The requests in work leave no room for its bytes.
        ClientGone: The connection was closed before its end.
    """
    header = request.headers.get("content-type", "")
    if len(header) > _MOST_TYPE_CHARACTERS:
        raise BadRequest(
            f"the Content-Type is over {_MOST_TYPE_CHARACTERS:,} characters; let the HTTP client "
            "library set that header"
        )
    media_type, options = parse_options_header(header)
    # The server leaves blanks behind it.
    length = request.headers.get("content-length", "").rstrip()
    if not length:
        _check_transfer(request)
    # `int` takes leading zeros for digits, and no more than 4,300 of these.
    declared = int(length.lstrip("0") or 0) if length.isdecimal() else 0
    if declared > limits.body_bytes:
        raise _too_large(limits)
    reservation.expect(declared)
    if media_type == b"multipart/form-data":
        boundary = options.get(b"boundary", b"")
        body = await _read_multipart(request, limits, reservation, boundary, declared)
    else:
        data = await _read_all(request, limits, reservation)
        if data and media_type == b"application/json":
            body = Body(_json_fields(data, expected), len(data))
        elif data and raw_field is not None and media_type.startswith(b"image/"):
            body = Body({raw_field: [data]}, len(data))
        elif data:
            read = _MEDIA_TYPES if raw_field is None else f"{_MEDIA_TYPES}, or one image as image/*"
            raise UnsupportedBody(
                f"a body of type '{media_type.decode('latin-1') or 'none given'}' is not read "
                f"here; send {read}, with the fields {expected}"
            )
        else:
            body = Body({}, 0)
    if not body.size:
        raise BadRequest(f"the body is empty; send {_MEDIA_TYPES} with the fields {expected}")
    return body


def _check_transfer(request: Request) -> None:
    """Refuses what the server undoes only the chunks of: the rest would be read as it came."""
    codings = ", ".join(request.headers.getlist("transfer-encoding"))
    if codings.strip(" \t,").lower() not in ("", "chunked"):
        raise UnsupportedBody(
            f"a body with Transfer-Encoding '{codings[:100]}' is not read here; send it as it is, "
            "with its Content-Length or with Transfer-Encoding 'chunked'"
        )


class _Pieces:
    """Hands pieces on in order: large ones as they are, small ones once there are many of them.

    What is done with a piece takes time, and memory beside its own, whatever its size. A body sent
    byte by byte would hold up the event loop, and take hundreds of times what is counted for it.

    Args:
        write: What they are handed on to.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._small = bytearray()

    def add(self, piece: bytes) -> None:
        """Takes the next one."""
        if len(piece) >= _PIECE_BYTES:
            self.flush()
            self._write(piece)
            return
        self._small += piece
        if len(self._small) >= _PIECE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hands on what is left."""
        if self._small:
            self._write(bytes(self._small))
            self._small.clear()


async def _read(
    request: Request,
    limits: Limits,
    reservation: Reservation,
    write: Callable[[bytes], object],
) -> int:
    """Hands a body on as it comes in, with its limits enforced; gives its bytes."""
    size = 0
    pieces = _Pieces(write)

    def take(piece: bytes) -> None:
        nonlocal size
        size += len(piece)
        if size > limits.body_bytes:
            raise _too_large(limits)
        reservation.grow(len(piece))
        pieces.add(piece)

    sink = Sink(take)
    with sink.open(request.scope):
        while True:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone("the client left while sending")
            sink.check()
            piece = message.get("body", b"")
            if piece:
                take(piece)
            if not message.get("more_body", False):
                pieces.flush()
                return size


async def _read_all(request: Request, limits: Limits, reservation: Reservation) -> bytes:
    pieces: list[bytes] = []
    await _read(request, limits, reservation, pieces.append)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _read_multipart(
    request: Request, limits: Limits, reservation: Reservation, boundary: bytes, declared: int
) -> Body:
    if not boundary:
        raise BadRequest(
            "the Content-Type of a multipart body must name its boundary; let the HTTP client "
            "library set that header"
        )
    form = Form(limits, declared)
    reader = MultipartReader(boundary, form)
    size = await _read(request, limits, reservation, reader.feed)
    if reader.bare_line_feeds and not reader.ended:
        raise BadRequest(
            "the multipart body is malformed: its lines end in bare line feeds; end them in CR LF, "
            "or let the HTTP client library write the body"
        )
    if size and not reader.begun:
        raise BadRequest(
            "the multipart body is malformed: no line of it, after CR LF or at its beginning, "
            "has the boundary that its Content-Type names; let the HTTP client library write both"
        )
    if size and not reader.ended:
        raise BadRequest("the multipart body ends before its closing boundary; send all of it")
    return Body(form.fields, size)


def _json_fields(data: bytes, expected: str) -> dict[str, list[object]]:
    if _values_at_most(data) > _MAX_JSON_VALUES:
        raise TooManyBytes(
            f"the JSON body has more than {_MAX_JSON_VALUES:,} values; send embeddings as raw "
            "little-endian float32 in the field 'embeddings' of a multipart body"
        )
    try:
        document = _parsed(data)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadRequest(f"the body must be a JSON object with the fields {expected}")
    return {
        name: value if isinstance(value, list) else [value]
        for name, value in document.items()
        if value is not None
    }


def _values_at_most(data: bytes) -> int:
    """The values of a JSON text, lists and objects among them, or more; base64 is one each."""
    count = 1
    every = np.frombuffer(data, np.uint8)
    # By NumPy, as `bytes.count` takes thrice as long; and what it makes stays in the cache.
    for start in range(0, len(every), _COUNTED_BYTES):
        signs = every[start : start + _COUNTED_BYTES]
        count += int(np.count_nonzero(signs == ord(",")))
        # One bit tells a square bracket from a curly one.
        count += int(np.count_nonzero(signs | 0x20 == ord("{")))
    return count


def _parsed(data: bytes) -> object:
    """What a JSON text holds.

    Raises:
        orjson.JSONDecodeError: It is none.
    """
    # What is being made cannot be garbage. To look for some in ever more lists takes ten times as
    # long as to make them.
    gc.disable()
    try:
        return orjson.loads(data)
    finally:
        gc.enable()


def _too_large(limits: Limits) -> BodyTooLarge:
    return BodyTooLarge(
        f"the body is over the limit of {limits.body_bytes:,} bytes; send smaller images, or "
        "fewer in one request"
    )
