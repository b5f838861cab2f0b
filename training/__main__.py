"""`python -m training`."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from training.exits import EXIT_INTERRUPTED


@contextmanager
def _ended_at_once() -> Iterator[None]:
    """Within it, Ctrl-C and SIGTERM end this process, in the words and with the status of later.

    For the imports, which take a second or more: an exception would come out of the midst of them
    as a trace, and there is nothing yet to end in order. What whoever started this process has
    had ignored stays so, and torchrun's SIGTERM is left alone as in `training.cli`.
    """
    numbers = [signal.SIGINT] if "WORLD_SIZE" in os.environ else [signal.SIGINT, signal.SIGTERM]
    before = {number: signal.getsignal(number) for number in numbers}
    ours = {number: was for number, was in before.items() if was is not signal.SIG_IGN}
    for number in ours:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number, was in ours.items():
            signal.signal(number, was)


def _end(*_: object) -> None:
    os.write(sys.stderr.fileno(), b"interrupted\n")
    os._exit(EXIT_INTERRUPTED)


with _ended_at_once():
    from training.cli import main

status = main()
if "TORCHELASTIC_RUN_ID" in os.environ:
    # Started by torchrun, beside others. What torch leaves running for the talk between processes
    # sometimes aborts the interpreter's end, and torchrun would then count good work as failed.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
sys.exit(status)
