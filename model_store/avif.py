"""What an AVIF has its decoder decode, which its header need not say.

The size that a file declares is that of the picture it gives. The frames in it have sizes of their
own, and there may be any number: libavif decodes them all and scales the last one. One of 600 bytes
that declared 100x100 pixels took 144 megapixels' memory; one of 50 kB and a hundred frames, 2.5 s.

Nor is what libavif reads before that in proportion to the file: it looks for each item that is
named among all of them, and copies a property of a kind it does not know for each item that has it.
20,000 items in 40 kB took 6 s, 200 copies of 8 MB 2 GB.

Boxes: ISO/IEC 14496-12 and 23008-12. Units: AV1 Bitstream & Decoding Process Specification, 5.3.
"""

from collections.abc import Iterator

from model_store.av1 import Sequence, has_its_own_size, read_sequence

_STEPS = 50_000
"""Boxes, places and units in a file. A picture in a thousand tiles has some 12,000."""

_NAMED = 10_000
"""Times that items are named, each of which libavif looks for among all. A tile of a grid is named
four times."""

_SAMPLES = 200_000
"""Frames of a sequence, each of which libavif makes a note of. Two hours have as many."""

_LOOKED_FOR = 10_000_000
"""Chunks of samples times the entries that tell their lengths: each is looked for among them."""

_COPIED = 64 * 1024**2
"""Bytes beside as many as the file has: of items, which may lie in one another, and properties."""

_HEADER = 512
"""Bytes of a unit that are looked at: the longest sequence header has fewer up to the sizes."""

_HEADER_STEPS, _FRAME_STEPS = 50, 2
"""As many pieces take the time of reading one header."""

_SAMPLE_ENTRY = 78
"""Bytes of a description of samples in front of its boxes."""

_PROFILE = b"colr"
"""The property that may be large and is not copied."""

_TABLES = {b"stsz": b"stsz", b"stsc": b"stsc", b"stco": b"stco", b"co64": b"stco"}
"""Of a track's samples, by what they say: where chunks lie may be said in two widths."""

_ANIMATED = b"avis"
"""The brand of a file whose pictures lie in tracks."""

_SEQUENCE, _FRAME_HEADER, _FRAME = 1, 3, 6


class UnusualAvif(ValueError):
    """An AVIF that is not as programs write it; what decoding it takes cannot be told."""


class _NoBox(UnusualAvif):
    """What stands where a box should is none."""


class _Bytes:
    """Reads numbers from one place to another.

    Args:
        data: What is read; beyond its end come zeros.
        at: Where the first one begins.
    """

    def __init__(self, data: bytes | memoryview, at: int = 0) -> None:
        self._data = data
        self.at = at

    def number(self, size: int) -> int:
        """The next one, big-endian, of so many bytes."""
        self.at += size
        read = bytes(self._data[self.at - size : self.at])
        return int.from_bytes(read.ljust(size, b"\0"), "big")


class _Looking:
    """Looks through one file, and gives up where it has too many pieces."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._steps = self._named = self._copied = self._samples = 0

    def step(self, pieces: int = 1) -> None:
        self._steps += pieces
        if self._steps > _STEPS:
            raise UnusualAvif(f"it consists of more than {_STEPS:,} pieces")

    def _name(self, items: int = 1) -> None:
        self._named += items
        if self._named > _NAMED:
            raise UnusualAvif(f"its items are named more than {_NAMED:,} times")

    def _copy(self, size: int) -> None:
        self._copied += size
        if self._copied > len(self._data) + _COPIED:
            raise UnusualAvif("its items and their properties are far longer than the file")

    def boxes(self, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        """The boxes in a part of the file: type, and from where to where their content lies."""
        at = start
        while at < end:
            self.step()
            size, first = int.from_bytes(self._data[at : at + 4], "big"), at + 8
            if size == 1:
                size, first = int.from_bytes(self._data[at + 8 : at + 16], "big"), at + 16
            until = at + size if size else end
            if not first <= until <= end:
                raise _NoBox(f"its box at byte {at:,} ends where it cannot")
            yield self._data[at + 4 : at + 8], first, until
            at = until

    def _outermost(self) -> Iterator[tuple[bytes, int, int]]:
        """The boxes of the file itself, up to what is none and libavif never comes to.

        It reads no further once it has those that the brands ask for: behind the last box there may
        be a line break or zeros that some program has added.
        """
        needed = {b"ftyp", b"meta"}
        try:
            for kind, first, last in self.boxes(0, len(self._data)):
                needed.discard(kind)
                if kind == b"ftyp" and _ANIMATED in self._data[first:last]:
                    needed.add(b"moov")
                yield kind, first, last
        except _NoBox:
            if needed:
                raise

    def _in_file(self, *kinds: bytes) -> Iterator[tuple[int, int]]:
        """The boxes at the end of a path of types, in the whole file."""
        return self._along(self._outermost(), *kinds)

    def within(self, start: int, end: int, *kinds: bytes) -> Iterator[tuple[int, int]]:
        """The boxes at the end of a path of types, in a part of the file."""
        return self._along(self.boxes(start, end), *kinds)

    def _along(
        self, boxes: Iterator[tuple[bytes, int, int]], *kinds: bytes
    ) -> Iterator[tuple[int, int]]:
        for kind, first, last in boxes:
            if kind != kinds[0]:
                continue
            if len(kinds) == 1:
                yield first, last
            else:
                yield from self.within(first, last, *kinds[1:])

    def streams(self) -> Iterator[memoryview]:
        """What is given to an AV1 decoder for the first picture: each item, and each track's."""
        for path in ((b"meta",), (b"moov", b"trak", b"meta")):
            for start, end in self._in_file(*path):
                yield from self._items(start + 4, end)
        for start, end in self._in_file(b"moov", b"trak", b"mdia", b"minf", b"stbl"):
            yield self._first_sample(start, end)

    def _items(self, start: int, end: int) -> Iterator[memoryview]:
        coded = {item for box in self.within(start, end, b"iinf") for item in self._coded(*box)}
        stored = next(self.within(start, end, b"idat"), (0, 0))
        for kind, first, last in self.boxes(start, end):
            if kind == b"iref":
                self._count_references(first, last)
            elif kind == b"iprp":
                self._count_properties(first, last)
            elif kind == b"grpl":
                self.step((last - first) // 4)
        for box in self.within(start, end, b"iloc"):
            for item, places in self._places(*box, stored):
                if item in coded:
                    yield self._joined(places)

    def _joined(self, places: list[tuple[int, int]]) -> memoryview:
        pieces = [memoryview(self._data)[first:last] for first, last in places]
        return pieces[0] if len(pieces) == 1 else memoryview(b"".join(pieces))

    def _count_references(self, start: int, end: int) -> None:
        wide = 4 if self._data[start] else 2
        for _, first, last in self.boxes(start + 4, end):
            read = _Bytes(self._data, first + wide)
            items = read.number(2)
            self._name(1 + items)
            # libavif goes on where the items end, whatever the box says.
            if read.at + items * wide != last:
                raise UnusualAvif(f"its reference at byte {first:,} ends where it cannot")

    def _count_properties(self, start: int, end: int) -> None:
        sizes = [
            0 if kind == _PROFILE else last - first
            for box in self.within(start, end, b"ipco")
            for kind, first, last in self.boxes(*box)
        ]
        for first, last in self.within(start, end, b"ipma"):
            wide = 4 if self._data[first] else 2
            of_index = 2 if self._data[first + 3] & 1 else 1
            read = _Bytes(self._data, first + 4)
            for _ in range(read.number(4)):
                self._name()
                read.at += wide
                for _ in range(read.number(1)):
                    self.step()
                    index = read.number(of_index) & (0x7FFF if of_index == 2 else 0x7F)
                    self._copy(sizes[index - 1] if 0 < index <= len(sizes) else 0)
                if read.at > last:
                    raise UnusualAvif("it has fewer properties than it says")

    def _coded(self, start: int, end: int) -> Iterator[int]:
        """The items that are coded in AV1."""
        first = start + (8 if self._data[start] else 6)
        for at, _ in self.within(first, end, b"infe"):
            self._name()
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
            self._name()
            item = read.number(4 if version == 2 else 2)
            method = read.number(2) & 15 if version else 0
            read.at += 2
            base = read.number(of_base) + (stored[0] if method == 1 else 0)
            places, total = [], 0
            for _ in range(read.number(2)):
                self.step()
                read.at += of_index if version else 0
                first = base + read.number(of_offset)
                # Of none, as libavif has it, and not up to the end of the file.
                length = read.number(of_length)
                places.append((first, first + length))
                total += length
            if total > len(self._data) or read.at > end:
                raise UnusualAvif("its items are longer than the file")
            # Whatever it is: metadata are copied as well, of each item that has any.
            self._copy(total)
            yield item, places

    def _first_sample(self, start: int, end: int) -> memoryview:
        nothing = len(self._data)
        tables: dict[bytes, int] = {}
        wide = 4
        for kind, at, last in self.boxes(start, end):
            if kind == b"stsd":
                self._count_descriptions(at, last)
            elif kind in _TABLES:
                if _TABLES[kind] in tables:
                    raise UnusualAvif("a table of one track's samples is there twice")
                tables[_TABLES[kind]] = at
                wide = 8 if kind == b"co64" else wide
        chunks = _Bytes(self._data, tables.get(b"stco", nothing) + 4)
        self._count_samples(tables.get(b"stsc", nothing), chunks.number(4))
        sizes = _Bytes(self._data, tables.get(b"stsz", nothing) + 4)
        each, count, first = (sizes.number(4) for _ in range(3))
        offset = chunks.number(wide)
        return memoryview(self._data)[offset : offset + (each or (first if count else 0))]

    def _count_descriptions(self, start: int, end: int) -> None:
        for kind, first, last in self.boxes(start + 8, end):
            if kind == b"av01":
                for _ in self.boxes(first + _SAMPLE_ENTRY, last):
                    pass

    def _count_samples(self, at: int, chunks: int) -> None:
        read = _Bytes(self._data, at + 4)
        entries = read.number(4)
        self.step(entries)
        if chunks * entries > _LOOKED_FOR:
            raise UnusualAvif(f"its {chunks:,} chunks of samples have {entries:,} lengths")
        rows = [[read.number(4) for _ in range(3)] for _ in range(entries)]
        ends = [*(first for first, *_ in rows[1:]), chunks + 1]
        for (first, samples, _), until in zip(rows, ends, strict=False):
            self._samples += max(0, min(until, chunks + 1) - first) * samples
        if self._samples > _SAMPLES:
            raise UnusualAvif(f"it has {self._samples:,} samples, and {_SAMPLES:,} may be")

    def units(self, stream: memoryview) -> Iterator[tuple[int, bytes]]:
        """The units (OBU) of a stream: type, and how the content begins."""
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
            yield head >> 3 & 15, bytes(stream[at : at + min(size, _HEADER)])
            at += size


def frames_decoded(data: bytes) -> list[int]:
    """The pixels of each frame that the first picture of an AVIF is made of, its alpha's included.

    Args:
        data: The file.

    Raises:
        UnusualAvif: That cannot be told.
    """
    looking, frames = _Looking(data), []
    known: dict[bytes, Sequence] = {}
    for stream in looking.streams():
        sequence = None
        for kind, content in looking.units(stream):
            if kind == _SEQUENCE:
                if content not in known:
                    looking.step(_HEADER_STEPS)
                    known[content] = read_sequence(content)
                sequence = known[content]
            elif kind in (_FRAME_HEADER, _FRAME) and sequence is not None:
                looking.step(_FRAME_STEPS)
                if has_its_own_size(content, sequence):
                    raise UnusualAvif("a frame has another size than its sequence")
                frames.append(sequence.width * sequence.height)
    return frames
