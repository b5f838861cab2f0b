"""OpenVINO and signals, in a process of their own: what goes wrong ends it."""

import ast
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.inference.engines.openvino_runtime import runtime

_ENDING = """
import faulthandler, gc, multiprocessing, os, signal, sys, threading
import numpy as np
from app.inference.engines.openvino_cpu import OpenVinoEngine
import openvino as ov
from openvino import opset13
from model_store.network import Side

print(sys.modules.get("openvino_telemetry"), multiprocessing.active_children(), flush=True)
faulthandler.enable()  # As under pytest: signals are handled on a stack of their own.
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append("SIGTERM"))


def engine():
    image = opset13.parameter([-1, 2, 2, 1], np.uint8)
    flat = opset13.reshape(image, np.array([-1, 4]), special_zero=False)
    model = ov.Model([opset13.convert(flat, "f32")], [image])
    return OpenVinoEngine({Side.LEFT: model}, precision="float32", threads=1, reason="")


made = [engine()]
batch = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
assert made[0].features(batch, Side.LEFT).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def end():
    made.clear()
    gc.collect()


thread = threading.Thread(target=end)
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGTERM)
print(told)
"""


@dataclass(frozen=True)
class Ended:
    """What is left of the process."""

    status: int
    said: list[str]
    errors: str
    home: Path


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    home = tmp_path_factory.mktemp("home")
    nowhere = "http://127.0.0.1:9"
    done = subprocess.run(
        [sys.executable, "-c", _ENDING],
        env={
            # With CI set, OpenVINO reports nothing anyway.
            **{name: value for name, value in os.environ.items() if name != "CI"},
            "HOME": str(home),
            "https_proxy": nowhere,
            "HTTPS_PROXY": nowhere,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Ended(done.returncode, done.stdout.splitlines(), done.stderr, home)


def test_nothing_is_reported_to_its_makers(ended: Ended) -> None:
    """They know its users by a file in their home."""
    assert ended.said[:1] == ["None []"], ended.errors
    assert list(ended.home.rglob("*_ga_cid")) == []


def test_a_signal_is_handled_after_an_engine_ended_in_another_thread(ended: Ended) -> None:
    assert ended.status == 0, (ended.status, ended.errors)
    assert ended.said[1:] == ["['SIGTERM']"]


_FIRST = """
import os
from app.inference.engines.eight_bits import adds_up
from app.inference.engines.openvino_runtime import runtime

runtime()
before = set(os.listdir("/proc/self/task"))
adds_up()
started = set(os.listdir("/proc/self/task")) - before
print([os.sched_getscheduler(int(thread)) for thread in started])
"""


@pytest.mark.skipif(
    sys.platform != "linux" or os.sched_getscheduler(0) != os.SCHED_OTHER,
    reason="needs Linux, which alone has SCHED_BATCH, and a process of its usual policy",
)
def test_threads_started_before_anything_is_served_are_marked_too():
    """They are those that a lone image is computed on later."""
    done = subprocess.run(
        [sys.executable, "-c", _FIRST], capture_output=True, text=True, timeout=120, check=True
    )
    policies = ast.literal_eval(done.stdout)
    assert set(policies) == {os.SCHED_BATCH}


def test_all_threads_have_the_same_one():
    found = []
    threads = [threading.Thread(target=lambda: found.append(runtime())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(map(id, found))) == 1
