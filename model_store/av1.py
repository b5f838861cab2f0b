"""How large the frames of an AV1 stream are, by the heads of their sequence and of their own.

AV1 Bitstream & Decoding Process Specification, 5.5 (sequence header) and 5.9.2 (frame header).
"""

from dataclasses import dataclass

_KEY_FRAME, _SWITCH_FRAME = 0, 3
_CHOSEN_BY_FRAME = 2


class _Bits:
    """Reads numbers of some bits, the highest first; beyond the end of the data they are 0."""

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
class Sequence:
    """Of a sequence header, what frames have in common.

    Attributes:
        width: In pixels.
        height: Likewise.
        reduced: Whether it is of a still picture, whose frame has no size of its own.
        time_bits: Of the time that a frame which is shown has in its header.
        id_bits: Of the number that a frame has there.
        screen_content: Whether tools for it may be used, or 2 where each frame says.
        integer_motion: Whether motion is in whole pixels, likewise.
    """

    width: int
    height: int
    reduced: bool
    time_bits: int
    id_bits: int
    screen_content: int
    integer_motion: int


def read_sequence(header: bytes) -> Sequence:
    """What a sequence header says of its frames, up to what is wanted here."""
    bits = _Bits(header)
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
    return Sequence(width, height, reduced, time_bits, id_bits, screen_content, integer_motion)


def _skip_operating_points(bits: _Bits) -> int:
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


def _skip_variable_length(bits: _Bits) -> None:
    zeros = 0
    while zeros < 32 and not bits.flag():
        zeros += 1
    if zeros < 32:
        bits.number(zeros)


def has_its_own_size(header: bytes, sequence: Sequence) -> bool:
    """Whether a frame is, or may be, of another size than its sequence says.

    Args:
        header: The frame's, or the frame, which begins with it.
        sequence: What it belongs to.
    """
    bits = _Bits(header)
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
