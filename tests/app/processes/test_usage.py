"""Of this process and children of its own."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from app.processes.listening import can_share_ports
from app.processes.usage import Usage, usage_of_family

pytestmark = pytest.mark.skipif(not can_share_ports(), reason="needs Linux")

# Touched, or the system would not give it.
MEMORY = 100_000_000
TAKES = f"""
import time
memory = b"x" * {MEMORY}
while time.process_time() < 0.3:
    pass
print("taken", flush=True)
input()
"""


@contextlib.contextmanager
def taking() -> Iterator[None]:
    """A child that has taken memory and time, until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-SE", "-c", TAKES], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"taken\n"
        yield
        child.communicate(b"\n")


def test_children_count_with_their_parent_and_their_time_also_when_they_have_ended() -> None:
    def now() -> Usage:
        return usage_of_family(os.getpid())

    before = now()
    with taking():
        during = now()
    after = now()
    # The clock of the system ticks a hundred times a second.
    assert during.cpu_seconds - before.cpu_seconds > 0.25
    assert after.cpu_seconds >= during.cpu_seconds
    assert during.resident_bytes - before.resident_bytes > 0.8 * MEMORY
    assert during.resident_bytes - after.resident_bytes > 0.8 * MEMORY
    assert during.virtual_bytes > during.resident_bytes


def test_of_a_process_that_has_ended_nothing_is_known() -> None:
    with subprocess.Popen([sys.executable, "-SE", "-c", ""]) as ended:
        pass
    with pytest.raises(OSError, match="No such"):
        usage_of_family(ended.pid)
