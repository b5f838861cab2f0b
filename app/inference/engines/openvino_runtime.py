"""OpenVINO's runtime, of which a process has one, for good."""

import functools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import openvino as ov

from app.inference.slices import starting_threads_that_compute

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


def in_float32(
    model: ov.Model,
) -> Callable[[Sequence[npt.NDArray[np.generic]]], list[npt.NDArray[np.float32]]]:
    """What computes a model that is not served, in float32: from its inputs to its results.

    The runtime's threads are started by whatever is computed first, and those of that are to serve,
    too.

    Raises:
        RuntimeError: OpenVINO cannot compile it; or, when called, not compute it.
    """
    with starting_threads_that_compute():
        compiled = runtime().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": ov.Type.f32})

    def compute(inputs: Sequence[npt.NDArray[np.generic]]) -> list[npt.NDArray[np.float32]]:
        with starting_threads_that_compute():
            return [np.array(value, np.float32) for value in compiled(list(inputs)).values()]

    return compute


@functools.cache
def _load() -> ov.Core:
    core = ov.Core()
    with ThreadPoolExecutor(1, "openvino") as thread:
        # Any property will do: the plugin is loaded when it is first asked for something.
        thread.submit(core.get_property, "CPU", "FULL_DEVICE_NAME").result()
    return core
