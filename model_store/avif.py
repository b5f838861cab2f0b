"""What an AVIF has its decoder decode, which its header need not say.

The size that a file declares is that of the picture it gives. The frames in it have sizes of their
own, and there may be any number: libavif decodes them all and scales the last one. One of 600 bytes
that declared 100x100 pixels took 144 megapixels' memory; one of 50 kB and a hundred frames, 2.5 s.

Boxes: ISO/IEC 14496-12 and 23008-12. Units: AV1 Bitstream & Decoding Process Specification, 5.3.
"""

from collections.abc import Iterator

from model_store.av1 import has_its_own_size, read_sequence

_STEPS = 100_000
"""Boxes, places and units that are looked at. A picture in a grid of 256 by 256 has as many."""

_SEQUENCE, _FRAME_HEADER, _FRAME = 1, 3, 6


class UnusualAvif(ValueError):
    """An AVIF that is not as programs write it; what decoding it takes cannot be told."""


class _Bytes:
    """Reads numbers from one place to another.

    Args:
        data: What is read; beyond its end come zeros.
        at: Where the first one begins.
    """

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self.at = at

    def number(self, size: int) -> int:
        """The next one, big-endian, of so many bytes."""
        self.at += size
        return int.from_bytes(self._data[self.at - size : self.at].ljust(size, b"\0"), "big")


class _Looking:
    """Looks through one file, and gives up where it has too many pieces."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._steps = 0

    def step(self) -> None:
        self._steps += 1
        if self._steps > _STEPS:
            raise UnusualAvif(f"it consists of more than {_STEPS:,} pieces")

    def boxes(self, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        """The boxes in a part of the file: type, and from where to where their content lies."""
        at = start
        while at < end:
            self.step()
            read = _Bytes(self._data, at)
            size, kind = read.number(4), self._data[at + 4 : at + 8]
            read.at += 4
            if size == 1:
                size = read.number(8)
            until = at + size if size else end
            if not read.at <= until <= end:
                raise UnusualAvif(f"its box at byte {at:,} ends where it cannot")
            yield kind, read.at, until
            at = until

    def within(self, start: int, end: int, *kinds: bytes) -> Iterator[tuple[int, int]]:
        """The boxes at the end of a path of types, in a part of the file."""
        for kind, first, last in self.boxes(start, end):
            if kind != kinds[0]:
                continue
            if len(kinds) == 1:
                yield first, last
            else:
                yield from self.within(first, last, *kinds[1:])

    def streams(self) -> Iterator[bytes]:
        """What is given to an AV1 decoder for the first picture: each item, and each track's."""
        whole = (0, len(self._data))
        for start, end in self.within(*whole, b"meta"):
            yield from self._items(start + 4, end)
        for start, end in self.within(*whole, b"moov", b"trak", b"mdia", b"minf", b"stbl"):
            yield self._first_sample(start, end)

    def _items(self, start: int, end: int) -> Iterator[bytes]:
        coded = {item for box in self.within(start, end, b"iinf") for item in self._coded(*box)}
        stored = next(self.within(start, end, b"idat"), (0, 0))
        for box in self.within(start, end, b"iloc"):
            for item, places in self._places(*box, stored):
                if item in coded:
                    yield b"".join(self._data[first:last] for first, last in places)

    def _coded(self, start: int, end: int) -> Iterator[int]:
        """The items that are coded in AV1."""
        first = start + (8 if self._data[start] else 6)
        for at, _ in self.within(first, end, b"infe"):
            read = _Bytes(self._data, at + 4)
            item = read.number(2 if self._data[at] == 2 else 4)
            if self._data[read.at + 2 : read.at + 6] == b"av01":
                yield item

    def _places(
        self, start: int, end: int, stored: tuple[int, int]
    ) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """Where each item lies."""
        version, read = self._data[start], _Bytes(self._data, start + 4)
        of_offset, of_length = divmod(read.number(1), 16)
        of_base, of_index = divmod(read.number(1), 16)
        for _ in range(read.number(4 if version == 2 else 2)):
            self.step()
            item = read.number(4 if version == 2 else 2)
            method = read.number(2) & 15 if version else 0
            read.at += 2
            base = read.number(of_base) + (stored[0] if method == 1 else 0)
            places, total = [], 0
            for _ in range(read.number(2)):
                self.step()
                read.at += of_index if version else 0
                first = base + read.number(of_offset)
                length = read.number(of_length) or len(self._data) - first
                places.append((first, first + length))
                total += length
            if total > len(self._data) or read.at > end:
                raise UnusualAvif("its items are longer than the file")
            yield item, places

    def _first_sample(self, start: int, end: int) -> bytes:
        size = offset = 0
        for at, _ in self.within(start, end, b"stsz"):
            read = _Bytes(self._data, at + 4)
            each, count, first = (read.number(4) for _ in range(3))
            size = each or (first if count else 0)
        for kind, width in ((b"stco", 4), (b"co64", 8)):
            for at, _ in self.within(start, end, kind):
                offset = _Bytes(self._data, at + 8).number(width)
        return self._data[offset : offset + size]

    def units(self, stream: bytes) -> Iterator[tuple[int, bytes]]:
        """The units (OBU) of a stream: type and content."""
        at = 0
        while at < len(stream):
            self.step()
            head = stream[at]
            at += 2 if head & 4 else 1
            size = len(stream) - at
            if head & 2:
                read = _Bytes(stream, at)
                # LEB128: seven bits a byte, the lowest first, at most eight bytes.
                size = 0
                for place in range(8):
                    byte = read.number(1)
                    size |= (byte & 127) << 7 * place
                    if byte < 128:
                        break
                at = read.at
            yield head >> 3 & 15, stream[at : at + size]
            at += size


def frames_decoded(data: bytes) -> list[int]:
    """The pixels of each frame that the first picture of an AVIF is made of, its alpha's included.

    Args:
        data: The file.

    Raises:
        UnusualAvif: That cannot be told.
    """
    looking, frames = _Looking(data), []
    for stream in looking.streams():
        sequence = None
        for kind, content in looking.units(stream):
            if kind == _SEQUENCE:
                sequence = read_sequence(content)
            elif kind in (_FRAME_HEADER, _FRAME) and sequence is not None:
                if has_its_own_size(content, sequence):
                    raise UnusualAvif("a frame has another size than its sequence")
                frames.append(sequence.width * sequence.height)
    return frames
