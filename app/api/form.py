"""What the parts of a multipart body hold."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from python_multipart.multipart import parse_options_header

from app.api.limits import Limits
from app.api.problem import BadRequest
from app.inference.errors import TooManyBytes

_MAX_TEXT_BYTES = 4096
# To parse each takes a microsecond of the event loop's time; a file's name may hold some.
_MOST_SEMICOLONS = 64
_FIRST_ROOM = 65_536
_BELIEVED = 4 << 20


class _Whole:
    """The bytes of a part that is worked on where it lies, which may be tens of megabytes.

    NumPy asks the system for huge pages, and the first touch of new memory costs a third with them.
    What a client declares is believed once some megabytes are there: a huge page that holds one
    byte is taken all the same, and many clients could declare what they never send.

    Args:
        declared: Bytes of the body that the part is in, at least; 0 where that is not known.
    """

    def __init__(self, declared: int) -> None:
        self._declared = declared
        self._room = np.empty(_FIRST_ROOM, np.uint8)
        self._size = 0

    @property
    def content(self) -> npt.NDArray[np.uint8]:
        """What was added so far."""
        return self._room[: self._size]

    def add(self, piece: memoryview) -> None:
        """Copies a piece behind the others."""
        end = self._size + len(piece)
        if end > len(self._room):
            room = max(end, self._declared if end > _BELIEVED else 0, 2 * len(self._room))
            grown = np.empty(room, np.uint8)
            grown[: self._size] = self.content
            self._room = grown
        self._room[self._size : end] = piece
        self._size = end


@dataclass(slots=True)
class Form:
    """Collects the parts of a multipart body as its reader comes upon them.

    Attributes:
        limits: What it may hold.
        declared: The bytes of the body, as far as its client has told; else 0.
        fields: The parts so far, by name, in order.
    """

    limits: Limits
    declared: int = 0
    fields: dict[str, list[object]] = field(default_factory=dict)
    _parts: int = 0
    _name: str = ""
    _limit: int = 0
    _size: int = 0
    _data: list[memoryview] = field(default_factory=list)
    _whole: _Whole | None = None

    def begin(self, disposition: bytes) -> None:
        """A part begins.

        Args:
            disposition: Its Content-Disposition; empty if it has none.

        Raises:
            BadRequest: It is one too many, has no name, or too many parameters.
        """
        self._parts += 1
        if self._parts > self.limits.parts:
            raise BadRequest(
                f"the body has more than {self.limits.parts} parts; send fewer in one request"
            )
        self._size = 0
        self._data = []
        self._whole = None
        if disposition.count(b";") > _MOST_SEMICOLONS:
            raise BadRequest(
                f"the Content-Disposition of a part has more than {_MOST_SEMICOLONS} semicolons; "
                "send a shorter file name, or none"
            )
        _, options = parse_options_header(disposition)
        if b"name" not in options:
            raise BadRequest("a part of the multipart body has no name in Content-Disposition")
        self._name = options[b"name"].decode("utf-8", "replace")
        if self._name in self.limits.whole:
            self._limit = self.limits.body_bytes
            self._whole = _Whole(self.declared)
        elif b"filename" in options:
            self._limit = self.limits.part_bytes
        else:
            # Some clients send images without a file name, so text is not told by its absence.
            text = self._name in ("model", "side")
            self._limit = _MAX_TEXT_BYTES if text else self.limits.part_bytes

    def add(self, piece: memoryview) -> None:
        """More of the part's content.

        Raises:
            TooManyBytes: It is over its limit.
        """
        self._size += len(piece)
        if self._size > self._limit:
            raise TooManyBytes(
                f"{self._name[:100]}: over the limit of {self._limit:,} bytes; send a smaller one"
            )
        if self._whole is None:
            self._data.append(piece)
        else:
            # Copied while it is in the processor's cache, and the pieces are free to be used again.
            self._whole.add(piece)

    def end(self) -> None:
        """The part is there."""
        content = b"".join(self._data) if self._whole is None else self._whole.content
        self.fields.setdefault(self._name, []).append(content)
