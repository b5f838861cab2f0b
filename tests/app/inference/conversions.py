"""Networks in OpenVINO's form, for tests."""

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch

from app.inference.engines import conversion, converted, cpu
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


def use_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder under test gets what was converted before instead of converting again.

    How many times as fast bfloat16 is, which takes a second of each model, is found in less.
    """

    def convert(made: SiameseNetwork, side: Side) -> ov.Model:
        weights, branches = next(made.parameters()), len(made.branches)
        drawn = {seed: next(network(seed=seed, sides=branches).parameters()) for seed in (0, 1)}
        seed = next(seed for seed, others in drawn.items() if torch.equal(weights, others))
        return in_openvino(seed, branches)[side].clone()

    monkeypatch.setattr(converted, "convert", convert)
    monkeypatch.setattr(cpu, "_MEASURED_SECONDS", 0.0)


def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one.astype(np.float64) * other).sum(axis=1) / norms
