"""Networks in OpenVINO's form, for tests."""

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from app.inference.engines import conversion
from app.inference.engines.eight_bits import adds_up
from model_store import Checkpoint, ModelStore
from model_store.network import SiameseNetwork, Side
from tests.app.material import network

eight_bits = pytest.mark.skipif(
    not adds_up(), reason="this CPU has no dot products of eight bits (VNNI)"
)


def saved(folder: Path, made: SiameseNetwork) -> Checkpoint:
    store = ModelStore(folder / "store")
    store.save("tiny", made)
    return store.load("tiny")


@functools.cache
def in_openvino(seed: int = 0, branches: int = 1) -> Mapping[Side, ov.Model]:
    """The small network's branches, each converted once for all tests."""
    made = network(seed=seed, sides=branches)
    return {side: conversion.convert(made, side) for side in made.sides}


def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one.astype(np.float64) * other).sum(axis=1) / norms
