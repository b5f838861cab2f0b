"""Where the parts of a multipart body begin and end."""

import re
from collections.abc import Callable

from app.api.form import Form
from app.api.problem import BadRequest, UnsupportedBody

_MOST_BOUNDARY_BYTES = 256
_MOST_HEADER_BYTES = 8192
_MOST_HEADERS = 32
_MOST_PADDING = 100
_BY_ACCIDENT = 1000
_LINE_END = b"\r\n"
_AS_IT_IS = (b"binary", b"8bit", b"7bit", b"")

_FOLD = re.compile(rb"\r\n(?=[ \t])")
# Not one blank is given back to try again without it: thousands would take a second.
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*+([^\r\n]*)")


class MultipartReader:
    """Divides a body into parts as its pieces come (RFC 2046, section 5.1.1; RFC 7578).

    Each byte of a part is looked at once, by a search for the next boundary, and handed on where it
    lies. What is held back between two pieces is a few bytes, or a part's headers.

    Args:
        boundary: As the Content-Type has it.
        form: Takes the parts.

    Raises:
        BadRequest: The boundary is too long.
    """

    def __init__(self, boundary: bytes, form: Form) -> None:
        if len(boundary) > _MOST_BOUNDARY_BYTES:
            raise BadRequest(
                f"the multipart body is malformed: its boundary is over {_MOST_BOUNDARY_BYTES} "
                "bytes; let the HTTP client library choose that"
            )
        self._form = form
        self._delimiter = b"\r\n--" + boundary
        self._most = form.limits.parts + _BY_ACCIDENT
        self._found = 0
        self._in_part = False
        self._at_start = False
        self._bare_line_feeds = False
        # The line before the first boundary may be missing.
        self._held = _LINE_END
        # Functions and not methods, which would be a cycle that keeps the parts until it is found.
        self._step: Callable[[MultipartReader, bytes, int], int] = MultipartReader._read_data

    @property
    def begun(self) -> bool:
        """Whether there was a line that begins with the boundary."""
        return self._found > 0

    @property
    def ended(self) -> bool:
        """Whether the closing boundary was there."""
        return self._step is MultipartReader._skip

    @property
    def bare_line_feeds(self) -> bool:
        """Whether the line of the first boundary ends in a line feed alone, which makes it none."""
        return self._bare_line_feeds

    def feed(self, piece: bytes) -> None:
        """Takes the next piece of the body.

        Raises:
            BadRequest: It is malformed, or has too much of what costs more than it is worth.
            UnsupportedBody: A part is encoded.
            TooManyBytes: A part is over its limit.
        """
        position = 0
        while position < len(piece):
            position = self._step(self, piece, position)

    def _read_data(self, piece: bytes, position: int) -> int:
        """Up to the next boundary; what comes before the first one counts for nothing."""
        delimiter, held = self._delimiter, self._held
        if held:
            seam = held + piece[position : position + len(delimiter) - len(held)]
            if seam == delimiter:
                return self._at_delimiter(position + len(delimiter) - len(held))
            if delimiter.startswith(seam):
                self._held = seam
                return len(piece)
            # A delimiter begins with a line's end and holds no other: none begins within.
            self._held = b""
            self._add(held, 0, len(held))
        found = piece.find(delimiter, position)
        if found >= 0:
            self._add(piece, position, found)
            return self._at_delimiter(found + len(delimiter))
        last = piece.rfind(b"\r", max(position, len(piece) - len(delimiter) + 1))
        if last >= 0 and delimiter.startswith(piece[last:]):
            self._held = piece[last:]
            self._add(piece, position, last)
        else:
            self._add(piece, position, len(piece))
        return len(piece)

    def _at_delimiter(self, position: int) -> int:
        self._found += 1
        if self._found > self._most:
            raise BadRequest(
                f"the multipart body has more than {self._most:,} lines that begin with its "
                "boundary; let the HTTP client library choose that, long and at random"
            )
        self._held = b""
        self._step = MultipartReader._read_behind
        return position

    def _read_behind(self, piece: bytes, position: int) -> int:
        """What tells a boundary from a line that begins like one: a file may hold that."""
        held = self._held
        behind = held + piece[position : position + _MOST_PADDING + 2]
        line = behind.lstrip(b" \t")
        padding = len(behind) - len(line)
        if padding >= _MOST_PADDING:
            raise BadRequest(
                f"the multipart body has {_MOST_PADDING} blanks or more behind a boundary; let the "
                "HTTP client library write the body"
            )
        if behind.startswith(b"--"):
            self._end_part()
            self._step = MultipartReader._skip
            return len(piece)
        if line.startswith(b"\r\n"):
            self._end_part()
            # The end of the boundary's line is that of the header before the first.
            self._held = _LINE_END
            self._step = MultipartReader._read_headers
            return position + padding + 2 - len(held)
        if line in (b"", b"\r") or behind == b"-":
            self._held = behind
            return len(piece)
        self._bare_line_feeds |= line.startswith(b"\n") and not self._in_part
        self._add(self._delimiter, 0, len(self._delimiter))
        self._held = b""
        self._step = MultipartReader._read_data
        self.feed(held)
        return position

    def _read_headers(self, piece: bytes, position: int) -> int:
        held = self._held
        block = held + piece[position : position + _MOST_HEADER_BYTES]
        end = block.find(b"\r\n\r\n")
        if end < 0:
            if len(block) > _MOST_HEADER_BYTES:
                raise BadRequest(
                    "the multipart body is malformed: the headers of a part are over "
                    f"{_MOST_HEADER_BYTES:,} bytes; send fewer or shorter ones"
                )
            self._held = block
            return len(piece)
        disposition = b""
        # MIME has long ones go on in the next line, as mail libraries write a file's name.
        lines = _FOLD.sub(b"", block[2:end]).split(b"\r\n") if end else []
        if len(lines) > _MOST_HEADERS:
            raise BadRequest(
                f"the multipart body is malformed: a part has more than {_MOST_HEADERS} headers; "
                "let the HTTP client library write the body"
            )
        for line in lines:
            header = _HEADER.fullmatch(line)
            if header is None:
                raise BadRequest(
                    "the multipart body is malformed: a part has a line among its headers that is "
                    "none; let the HTTP client library write the body"
                )
            name, value = header.groups()
            kind = name.lower()
            if kind == b"content-disposition":
                disposition = value
            elif kind == b"content-transfer-encoding" and value.strip().lower() not in _AS_IT_IS:
                raise UnsupportedBody(
                    "a part with Content-Transfer-Encoding "
                    f"'{value[:100].decode('latin-1')}' is not read here; send its bytes as they "
                    "are, without that header"
                )
            elif kind == b"content-type" and value.lower().startswith(b"multipart/"):
                raise UnsupportedBody(
                    "a part that is itself multipart is not read here; send each file as a part of "
                    "its own, under the same name (with curl: an -F for each)"
                )
        self._form.begin(disposition)
        self._in_part = self._at_start = True
        # The line that ends the headers may be all there is: it is that before a boundary, too.
        self._held = _LINE_END
        self._step = MultipartReader._read_data
        return position + end + 4 - len(held)

    def _skip(self, piece: bytes, position: int) -> int:
        """Whatever follows the closing boundary."""
        del position
        return len(piece)

    def _add(self, piece: bytes, start: int, end: int) -> None:
        if self._at_start:
            # What comes first is at least the line end that was held back.
            start += len(_LINE_END)
            self._at_start = False
        if self._in_part and end > start:
            self._form.add(memoryview(piece)[start:end])

    def _end_part(self) -> None:
        if self._in_part:
            self._form.end()
            self._in_part = self._at_start = False
