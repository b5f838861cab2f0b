"""How many files a process may have open, of which each connection is one; and the first three."""

import contextlib
import os
import sys

if sys.platform != "win32":
    import resource

# An idle connection takes 7 KiB, and so 130 MB are the most that they take together. While a
# request's headers come, which they must within seconds, it may take 90 KiB.
_MOST = 20_000
# The rest is for models, and for connections that come faster than others are closed.
_FOR_CONNECTIONS = 0.9


def open_standard_streams() -> None:
    """Opens, to nothing, those of the standard streams that whoever started this process closed.

    Files of the event loop's own would get their numbers, and where uvloop closes one of these, it
    aborts the process.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # It gets the lowest number that is free, which this is: those before it are open.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def raise_limit() -> None:
    """Lets this process, and those that it starts, have as many files open as is of use.

    The usual limit is 1024, for the sake of programs that ask by `select` what there is to read. A
    process may raise it itself, up to another limit that is the system's.
    """
    if sys.platform == "win32":
        return  # A connection is no file there.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(_MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections() -> int:
    """How many connections a process should have at once."""
    most = _MOST
    if sys.platform != "win32":
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY:
            most = min(most, soft)
    return int(most * _FOR_CONNECTIONS)
