"""OpenVINO's runtime, of which a process has one, for good."""

import functools
import threading
from concurrent.futures import ThreadPoolExecutor

import openvino as ov

_lock = threading.Lock()


def runtime() -> ov.Core:
    """The process's runtime, its CPU plugin loaded.

    The plugin gives the thread that loads it another stack to handle signals on, and unmaps that
    when it is unloaded, in whichever thread that happens (OpenVINO's pull request 11894). The first
    thread would be left with a stack that is not there, and the next Ctrl-C or SIGTERM would end
    the process with a segmentation fault. So a thread of its own loads it, and it is kept.

    Raises:
        RuntimeError: OpenVINO does not work on this machine.
    """
    with _lock:
        return _load()


@functools.cache
def _load() -> ov.Core:
    core = ov.Core()
    with ThreadPoolExecutor(1, "openvino") as thread:
        # Any property will do: the plugin is loaded when it is first asked for something.
        thread.submit(core.get_property, "CPU", "FULL_DEVICE_NAME").result()
    return core
