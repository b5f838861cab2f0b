"""Ends a process when the one that started it is gone, however that ended.

A child's standard input is a pipe that its parent never writes to. The system closes the pipe when
the parent ends, which reading it tells.

`python -m app.processes.leash MODULE ARGUMENT…` runs a module that need not know of this.
"""

import os
import runpy
import sys
import threading
from collections.abc import Callable

from app.exits import EXIT_FORCED


def hold(last: Callable[[], object] | None = None) -> None:
    """Ends this process, from a thread of its own, once its standard input has ended.

    Args:
        last: Called before; for what the parent would have tidied up.
    """

    def wait() -> None:
        try:
            while os.read(0, 1):
                pass
            if last is not None:
                last()
        finally:
            # Nobody is left to drain for, and whoever starts the service anew needs the port.
            os._exit(EXIT_FORCED)

    threading.Thread(target=wait, name="twinlens-leash", daemon=True).start()


if __name__ == "__main__":
    hold()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
