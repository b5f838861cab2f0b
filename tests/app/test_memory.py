"""Memory that is kept is not taken from the system again."""

import subprocess
import sys

import pytest

_TWICE = """
import resource
import numpy as np
from app.memory import keep_freed_memory

if {keep}:
    assert keep_freed_memory()
for size in (51_200_000, 50_000_000):
    before = resource.getrusage(resource.RUSAGE_SELF)
    block = np.empty(size, np.uint8)
    block[::4096] = 1
    del block
    after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_minflt - before.ru_minflt)
"""


def _faults(*, keep: bool) -> int:
    """Page faults of the second of two large blocks, in a process of its own."""
    found = subprocess.run(
        [sys.executable, "-c", _TWICE.format(keep=keep)], capture_output=True, text=True, check=True
    )
    return int(found.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is Linux's")
def test_a_large_block_that_was_freed_serves_the_next_one() -> None:
    # With huge pages there is a fault for two megabytes, else for four kilobytes.
    assert _faults(keep=False) > 20
    assert _faults(keep=True) < 5
