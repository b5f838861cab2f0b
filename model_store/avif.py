"""What an AVIF has its decoder decode, which its header need not say.

The size that a file declares is that of the picture it gives. The frames in it have sizes of their
own, and there may be any number: libavif decodes them all and scales the last one. One of 600 bytes
that declared 100x100 pixels took 144 megapixels' memory; one of 50 kB and a hundred frames, 2.5 s.

Boxes: ISO/IEC 14496-12 and 23008-12. Frames: AV1 Bitstream & Decoding Process Specification, 5.3
(units), 5.5 (sequence header), 5.9.2 (frame header).
"""

from collections.abc import Iterator
from dataclasses import dataclass

_STEPS = 100_000
"""Boxes, places and units that are looked at. A picture in a grid of 256 by 256 has as many."""

_SEQUENCE, _FRAME_HEADER, _FRAME = 1, 3, 6
_KEY_FRAME, _SWITCH_FRAME = 0, 3
_CHOSEN_BY_FRAME = 2


class UnusualAvif(ValueError):
    """An AVIF that is not as programs write it; what decoding it takes cannot be told."""


class Bytes:
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


class Bits:
    """Reads numbers of some bits, the highest first; as `Bytes` beyond the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, bits: int) -> int:
        """The next one, of so many bits."""
        first, last = self._at // 8, (self._at + bits + 7) // 8
        whole = int.from_bytes(self._data[first:last].ljust(last - first, b"\0"), "big")
        self._at += bits
        return whole >> (last * 8 - self._at) & (1 << bits) - 1

    def flag(self) -> bool:
        """The next bit."""
        return bool(self.number(1))


@dataclass(frozen=True)
class _Sequence:
    """Of a sequence header, what frames have in common."""

    width: int
    height: int
    reduced: bool
    time_bits: int
    """Of the time that a frame which is shown has in its header."""
    id_bits: int
    screen_content: int
    integer_motion: int


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
            read = Bytes(self._data, at)
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
            read = Bytes(self._data, at + 4)
            item = read.number(2 if self._data[at] == 2 else 4)
            if self._data[read.at + 2 : read.at + 6] == b"av01":
                yield item

    def _places(
        self, start: int, end: int, stored: tuple[int, int]
    ) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """Where each item lies."""
        version, read = self._data[start], Bytes(self._data, start + 4)
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
            read = Bytes(self._data, at + 4)
            each, count, first = (read.number(4) for _ in range(3))
            size = each or (first if count else 0)
        for kind, width in ((b"stco", 4), (b"co64", 8)):
            for at, _ in self.within(start, end, kind):
                offset = Bytes(self._data, at + 8).number(width)
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
                read = Bytes(stream, at)
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
                sequence = _read_sequence(Bits(content))
            elif kind in (_FRAME_HEADER, _FRAME) and sequence is not None:
                if _has_its_own_size(Bits(content), sequence):
                    raise UnusualAvif("a frame has another size than its sequence")
                frames.append(sequence.width * sequence.height)
    return frames


def _read_sequence(bits: Bits) -> _Sequence:
    bits.number(4)  # seq_profile, still_picture
    reduced = bits.flag()
    time_bits = 0
    if reduced:
        bits.number(5)  # seq_level_idx
    else:
        time_bits = _skip_operating_points(bits)
    of_width, of_height = bits.number(4) + 1, bits.number(4) + 1
    width, height = bits.number(of_width) + 1, bits.number(of_height) + 1
    id_bits = 0
    if not reduced and bits.flag():
        id_bits = bits.number(4) + 2 + bits.number(3) + 1
    bits.number(3)  # superblocks, filters
    screen_content = integer_motion = _CHOSEN_BY_FRAME
    if not reduced:
        bits.number(4)  # kinds of prediction
        if bits.flag():  # enable_order_hint
            bits.number(2)
        if not bits.flag():
            screen_content = bits.number(1)
        if screen_content and not bits.flag():
            integer_motion = bits.number(1)
    return _Sequence(width, height, reduced, time_bits, id_bits, screen_content, integer_motion)


def _skip_operating_points(bits: Bits) -> int:
    """Reads up to the sizes; gives the bits of the time that a frame's header has, if any."""
    equal_intervals = model = False
    of_delay = of_time = 0
    if bits.flag():  # timing_info_present_flag
        bits.number(64)
        equal_intervals = bits.flag()
        if equal_intervals:
            _skip_variable_length(bits)
        model = bits.flag()
        if model:
            of_delay = bits.number(5) + 1
            bits.number(37)
            of_time = bits.number(5) + 1
    display_delay = bits.flag()
    for _ in range(bits.number(5) + 1):
        bits.number(12)
        if bits.number(5) > 7:  # seq_level_idx
            bits.number(1)
        if model and bits.flag():
            bits.number(2 * of_delay + 1)
        if display_delay and bits.flag():
            bits.number(4)
    return of_time if model and not equal_intervals else 0


def _skip_variable_length(bits: Bits) -> None:
    zeros = 0
    while zeros < 32 and not bits.flag():
        zeros += 1
    if zeros < 32:
        bits.number(zeros)


def _has_its_own_size(bits: Bits, sequence: _Sequence) -> bool:
    """Whether a frame is, or may be, of another size than its sequence says."""
    if sequence.reduced or bits.flag():  # show_existing_frame: nothing is decoded
        return False
    kind, shown = bits.number(2), bits.flag()
    if shown:
        bits.number(sequence.time_bits)
    else:
        bits.number(1)
    if kind != _SWITCH_FRAME and not (kind == _KEY_FRAME and shown):
        bits.number(1)  # error_resilient_mode
    bits.number(1)  # disable_cdf_update
    screen_content = sequence.screen_content
    if screen_content == _CHOSEN_BY_FRAME:
        screen_content = bits.number(1)
    if screen_content and sequence.integer_motion == _CHOSEN_BY_FRAME:
        bits.number(1)
    bits.number(sequence.id_bits)
    return kind == _SWITCH_FRAME or bits.flag()
