"""How the C library's allocator treats large blocks."""

import ctypes
import sys
from collections.abc import Mapping
from enum import IntEnum


class Option(IntEnum):
    """Options of glibc's `mallopt`, by the numbers of its malloc.h."""

    TRIM_THRESHOLD = -1
    TOP_PAD = -2
    MMAP_THRESHOLD = -3
    MMAP_MAX = -4


def set_allocator(options: Mapping[Option, int]) -> bool:
    """Sets options of glibc's allocator, for the whole process from now on.

    By default a large block goes back to the system once it is freed, and the next one is of new
    memory, whose page faults can cost more than what is done with it.

    Args:
        options: As `mallopt(3)` describes them, in bytes but for the greatest number of mappings.

    Returns:
        Whether all were set, and none after one that could not be: only on Linux with glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(option, value) == 1 for option, value in options.items())
