"""OpenVINO and signals, in a process of their own: what goes wrong ends it."""

import subprocess
import sys
import threading

from app.inference.engines.openvino_runtime import runtime

_ENDING = """
import faulthandler, gc, os, signal, threading
import numpy as np, openvino as ov
from openvino import opset13
from app.inference.engines.openvino_cpu import OpenVinoEngine
from model_store.network import Side

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


def test_a_signal_is_handled_after_an_engine_ended_in_another_thread():
    done = subprocess.run(
        [sys.executable, "-c", _ENDING],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stdout == "['SIGTERM']\n"


def test_all_threads_have_the_same_one():
    found = []
    threads = [threading.Thread(target=lambda: found.append(runtime())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(map(id, found))) == 1
