"""A multipart body's boundary, where it stands in the midst of the parts."""

import re

from app.api.problem import BadRequest

_BY_ACCIDENT = 1000
_MOST_PADDING = 100


class Boundary:
    """Bounds what the parser goes through byte by byte in Python, where it searches elsewhere.

    That is each boundary with something else than a line's end behind it, 3 µs and more, and the
    white space that may stand there, 0.15 µs a byte. Clients write neither, but by accident: a file
    may hold a boundary, too, where that is short.

    Args:
        boundary: As the Content-Type has it.
        parts: As many are allowed.
    """

    def __init__(self, boundary: bytes, parts: int) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._padded = re.compile(re.escape(self._delimiter) + b"[ \t]{%d}" % _MOST_PADDING)
        self._longest = len(self._delimiter) + _MOST_PADDING
        self._most = parts + _BY_ACCIDENT
        self._found = 0
        self._tail = b""

    def check(self, piece: bytes) -> None:
        """Looks at the next piece of the body, before it is parsed.

        Raises:
            BadRequest: There are too many boundaries by now, or one with too much behind it.
        """
        # Those in two pieces are not counted: there are fewer of these than of pieces.
        found = piece.count(self._delimiter)
        self._found += found
        if self._found > self._most:
            raise BadRequest(
                f"the multipart body has more than {self._most:,} lines that begin with its "
                "boundary; let the HTTP client library choose that, long and at random"
            )
        seam = self._tail + piece[: self._longest]
        self._tail = (self._tail + piece[-self._longest :])[-self._longest :]
        if self._padded.search(seam) or (found and self._padded.search(piece)):
            raise BadRequest(
                f"the multipart body has {_MOST_PADDING} blanks or more behind a boundary; let the "
                "HTTP client library write the body"
            )
