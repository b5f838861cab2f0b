"""Twinlens itself, as `python -m app`; with decoding and network left out where that is wanted."""

import os
import sys

import numpy as np

from app.__main__ import main
from app.inference import decode, loader
from app.inference.catalogue import LoadedModel
from app.inference.engines import openvino_cpu, torch_cpu
from app.inference.engines.base import Engine, Features, UInt8Batch
from benchmarks.peers.pipeline import LARGEST_BATCH, is_constant
from benchmarks.service import MODEL
from model_store import Manifest
from model_store.network import SiameseNetwork, Side
from model_store.preprocessing import UInt8Image
from model_store.typicality import Typicality

_DIMENSION = 1280
_SIDE = 224


def _leave_out() -> None:
    """Replaces both."""
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


def _leave_out_once_loaded() -> None:
    """Has the last model checked as always, and then warmed up as a network that takes no time."""

    def loaded(
        manifest: Manifest, network: SiameseNetwork, engine: Engine, typicality: Typicality | None
    ) -> LoadedModel:
        if manifest.name == MODEL:
            _leave_out()
            engine.warm_up(LARGEST_BATCH)
        return LoadedModel(manifest, network, engine, typicality)

    vars(loader)["LoadedModel"] = loaded


if __name__ == "__main__":
    os.environ["TWINLENS_PORT"] = sys.argv[1]
    os.environ["TWINLENS_DEFAULT_MODEL"] = MODEL
    if is_constant():
        _leave_out_once_loaded()
    sys.exit(main([]))
