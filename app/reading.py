"""Reading HTTP/1.1 as uvicorn does, with bounds on what the requests of a connection can hold."""

from abc import abstractmethod

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.api.problem import BadRequest, HeadersTooLarge
from app.api.refusal import headers_too_large, reason
from app.api.sink import sink_of

_MAX_HEADER_BYTES = 65_536
# Beside its bytes each takes some 180 of memory, and may be sent in five. The shipped balancer
# passes 101 on.
_MAX_HEADERS = 128
# Each takes half a microsecond to undo, in the path and in the query string. The longest name of
# 200 characters has 800.
_MAX_ESCAPES = 1_024
# Of a header beside its name and value: the colon, the space, and the line's end.
_LINE_BYTES = 4
_MAX_PIECES = 16
# Of requests that wait for their turn. Clients that send some in a row stay far below. What is read
# at a time can hold ten thousand: half a second of the event loop's time, and a hundred times the
# memory.
_MAX_WAITING = 256
# Bodies of a known length go past the parser from here on: it copies them, a tenth of what it takes
# to compare ten thousand candidates.
_LARGE_BODY = 1 << 20


class BoundedReading(HttpToolsProtocol):
    """Refuses what would take more memory or time to read than a request is worth.

    uvicorn itself reads headers and trailers of any size, and keeps requests that wait for their
    turn in any number. It copies bodies, and stops at a request that offers another protocol.

    Attributes:
        ended: Whether the last answer was sent, and what the client still sends goes nowhere.
    """

    ended = False

    _in_headers = False
    _in_body = False
    # Of the message that is being read: its headers and trailers, as far as they are whole.
    _header_bytes = 0
    # Read since a piece of a body or the end of a message: headers and trailers, whole or not.
    _unfinished_bytes = 0
    # Of bodies, in what was read last.
    _pieces = 0
    # Of a large body, the bytes still to come; 0 for others, which the parser counts.
    _to_come = 0
    # Why nothing is read any more.
    _refusal: BadRequest | None = None

    def data_received(self, data: bytes) -> None:
        """As `asyncio.Protocol`."""
        if self.ended or self._refusal is not None:
            return
        self._unfinished_bytes += len(data)
        self._pieces = 0
        if self._to_come:
            data = self._take_body(data)
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            self._refuse(reason(error))
        else:
            if self._unfinished_bytes > _MAX_HEADER_BYTES:
                self._refuse(headers_too_large(_MAX_HEADER_BYTES))

    def on_message_begin(self) -> None:
        """A request's first byte."""
        if len(self.pipeline) >= _MAX_WAITING:
            raise BadRequest(
                f"{_MAX_WAITING} requests that were sent in a row wait on this connection already; "
                "wait for answers before you send more, or send them over several connections"
            )
        super().on_message_begin()
        self._in_headers = True
        self._header_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; or a trailer, which nothing here asks for."""
        self._header_bytes += len(name) + len(value) + _LINE_BYTES
        if self._header_bytes > _MAX_HEADER_BYTES:
            raise headers_too_large(_MAX_HEADER_BYTES)
        if self._in_headers:
            if len(self.headers) >= _MAX_HEADERS:
                raise HeadersTooLarge(
                    f"the request has more than {_MAX_HEADERS} headers; send fewer"
                )
            # FastAPI parses them for every route, and none reads them. 64 KiB of backslashes take
            # Python before 3.11.10 and 3.12.6 twelve seconds.
            if name.lower() != b"cookie":
                super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A request's headers are there."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise BadRequest("CONNECT is for proxies, and this is none")
            return
        if self._header_bytes + len(self.url) > _MAX_HEADER_BYTES:
            raise headers_too_large(_MAX_HEADER_BYTES)
        if self.url.count(b"%") > _MAX_ESCAPES:
            raise HeadersTooLarge(
                f"the request's target has more than {_MAX_ESCAPES:,} percent signs; send fewer"
            )
        try:
            super().on_headers_complete()
        # The last is what uvicorn makes of a target without a path.
        except (httptools.HttpParserInvalidURLError, UnicodeDecodeError, AttributeError):
            raise BadRequest("the request's target is not a valid path; begin it with /") from None
        self._in_headers = False
        self._in_body = True
        declared = next((value for name, value in self.headers if name == b"content-length"), b"")
        # The parser takes digits only, and blanks behind, and `int` no more than 4,300 digits
        # with leading zeros.
        length = int(declared.rstrip().lstrip(b"0") or 0)
        self._to_come = length if length >= _LARGE_BODY else 0

    def on_body(self, body: bytes) -> None:
        """A piece of a body: to its reader at once where one waits, or into the queue."""
        self._unfinished_bytes = 0
        self._pieces += 1
        if self._to_come:
            self._to_come -= len(body)
        sink = sink_of(self.cycle.scope)
        # What is in the queue already goes first. In the queue many pieces become one, and while it
        # is full no more is read: a body in chunks of a byte leaves others their turns.
        queued = self.cycle.body or self._pieces > _MAX_PIECES
        if sink is None or queued or not sink.offer(body):
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of a request, or of headers that are to be read anew."""
        if self._in_headers:
            return
        self._unfinished_bytes = 0
        self._in_body = False
        super().on_message_complete()

    def _take_body(self, data: bytes) -> bytes:
        """Takes what belongs to a large body; gives what is behind it."""
        body = data[: self._to_come]
        self.on_body(body)
        if self._to_come:
            return b""
        # The old one still waits for the body.
        self._renew_parser()
        self.on_message_complete()
        return data[len(body) :]

    def _renew_parser(self) -> None:
        self.parser = httptools.HttpRequestParser(self)

    def _parse(self, data: bytes | memoryview) -> None:
        """Has the parser read on, and never stop for another protocol, since none is spoken here.

        It takes a request that offers one, as Java's client does with HTTP/2, to end with its
        headers. They are read anew without the offer, which costs other requests nothing.
        """
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                (end,) = upgrade.args
            else:
                return
            data = memoryview(data)[end:]
            version = self.parser.get_http_version().encode()
            lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
            lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
            # The old one may take this for the connection's last request.
            self._renew_parser()
            self.parser.feed_data(b"\r\n".join([*lines, b"", b""]))

    @abstractmethod
    def _refuse(self, error: BadRequest) -> None:
        """Reads no more, and says why."""
