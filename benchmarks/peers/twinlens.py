"""Twinlens itself, as `python -m app`; with decoding and network left out where that is wanted."""

import os
import sys
import threading
import time

import numpy as np

from app.__main__ import main
from app.inference import decode
from app.inference.engines import openvino_cpu, torch_cpu
from app.inference.engines.base import Features, UInt8Batch
from benchmarks.peers.pipeline import is_constant
from model_store.network import Side
from model_store.preprocessing import UInt8Image

_DIMENSION = 1280
_SIDE = 224


def _leave_out() -> None:
    """Replaces both once models are loaded, because engines are checked then."""
    image = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    row = np.ones(_DIMENSION, np.float32)

    def features(_: object, batch: UInt8Batch, side: Side) -> Features:
        del side
        return np.repeat(row[None], len(batch), axis=0)

    def decoded(*_: object, **__: object) -> UInt8Image:
        return image

    for owner, name, constant in (
        (decode, "decode_prepared", decoded),
        (openvino_cpu.OpenVinoEngine, "features", features),
        (torch_cpu.TorchCpuEngine, "features", features),
    ):
        setattr(owner, name, constant)


def _soon() -> None:
    time.sleep(float(os.environ.get("TWINLENS_BENCH_LOADED_SECONDS", "20")))
    _leave_out()


if __name__ == "__main__":
    os.environ["TWINLENS_PORT"] = sys.argv[1]
    if is_constant():
        threading.Thread(target=_soon, daemon=True).start()
    sys.exit(main([]))
