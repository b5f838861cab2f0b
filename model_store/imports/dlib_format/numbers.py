"""Numbers as dlib writes them."""

import numpy as np
import numpy.typing as npt

from model_store.errors import StoreError

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

_SIGN, _LENGTH = 0x80, 0x0F
_STEPS = bytes(1 + (byte & _LENGTH) for byte in range(256))
_LONGEST = 8
_INFINITE = 32_000
"""From this exponent on a real number is infinite, or none."""


class NotDlibFormat(StoreError):
    """The bytes are not what dlib writes."""


def integer(data: bytes, position: int) -> tuple[int, int]:
    """The integer at a position, and the position behind it.

    Raises:
        NotDlibFormat: The bytes end there.
    """
    control = data[position : position + 1]
    if not control:
        raise NotDlibFormat("it ends too early")
    end = position + 1 + (control[0] & _LENGTH)
    found = int.from_bytes(data[position + 1 : end], "little")
    return (-found if control[0] & _SIGN else found), end


def integers(data: bytes) -> Integers:
    """All integers of a stream that holds nothing else.

    Raises:
        NotDlibFormat: The stream ends within one, or one is longer than 63 bits.
    """
    steps = data.translate(_STEPS)
    starts: list[int] = []
    position = 0
    # The one loop over millions of numbers: all else is done on arrays.
    while position < len(steps):
        starts.append(position)
        position += steps[position]
    if position != len(data):
        raise NotDlibFormat("it ends within a number")
    bytes_ = np.frombuffer(data + bytes(_LONGEST), np.uint8)
    begin = np.array(starts, dtype=np.int64)
    control = bytes_[begin]
    lengths = control & _LENGTH
    if (lengths > _LONGEST).any():
        raise NotDlibFormat("it holds a number of more than eight bytes")
    found = np.zeros(len(begin), np.int64)
    for number in range(int(lengths.max(initial=0))):
        digit = np.where(number < lengths, bytes_[begin + 1 + number], 0)
        found |= digit.astype(np.int64) << (8 * number)
    return np.where(control & _SIGN, -found, found)


def reals(pairs: Integers) -> Floats:
    """Mantissas and exponents (…, 2) → float32 (…).

    Raises:
        NotDlibFormat: One is infinite, or no number.
    """
    if (pairs[..., 1] >= _INFINITE).any():
        raise NotDlibFormat("it holds a number that is infinite or none")
    return np.ldexp(pairs[..., 0].astype(np.float64), pairs[..., 1]).astype(np.float32)
