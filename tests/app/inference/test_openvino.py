import functools
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch
from torch import nn

from app.inference.engines import (
    agreement,
    conversion,
    cpu,
    make_engine,
    openvino_cpu,
)
from app.inference.engines.agreement import Bound, EngineDisagrees
from app.inference.engines.base import Concurrency
from app.inference.engines.beside import beside_seconds
from app.inference.engines.openvino_cpu import OpenVinoEngine, suited
from app.inference.errors import InferenceError
from model_store import Checkpoint
from model_store.network import BranchSpec, ComparatorSpec, NetworkSpec, SiameseNetwork, Side
from model_store.network.backbones import dlib_face
from model_store.preprocessing import Preprocessing, prepare
from model_store.probe import Probe
from tests.app.inference.conversions import cosine, in_openvino, saved
from tests.app.material import network, pixels


def engine_for(models: Mapping[Side, ov.Model], threads: int = 2, precision: str = "float32"):
    return OpenVinoEngine(models, precision=precision, threads=threads, reason="")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_features_do_not_depend_on_batch_mates_and_are_the_networks(precision: str) -> None:
    made = network()
    engine = engine_for(in_openvino(), precision=precision)
    batch = np.stack([prepare(pixels(seed), made.preprocessing) for seed in range(13)])
    together = engine.features(batch, Side.LEFT)
    alone = np.concatenate([engine.features(image[None], Side.LEFT) for image in batch])
    backwards = engine.features(batch[::-1], Side.RIGHT)[::-1]
    assert together.shape == (13, 16)
    assert together.dtype == np.float32
    assert cosine(together, alone).min() >= 0.99999
    assert cosine(together, backwards).min() >= 0.99999
    with torch.inference_mode():
        expected = made.features(torch.from_numpy(batch)).numpy()
    assert cosine(together, expected).min() >= agreement.BOUNDS[precision].worst
    if precision == "float32":
        np.testing.assert_allclose(together, expected, rtol=1e-4, atol=1e-5)
    assert cosine(together[:1], together[1:2])[0] < 0.999
    engine.close()


BRANCHES = {
    "vgg16": BranchSpec(backbone="vgg16", pooling="flatten", hidden=(32,)),
    "resnet18": BranchSpec(backbone="resnet18", projection=16),
    "triplet-cnn": BranchSpec(backbone="triplet-cnn", pooling="gem", projection=16),
    "residual": BranchSpec(backbone="residual", pooling="average", batch_norm=True),
    "mirrored": BranchSpec(backbone="triplet-cnn", pooling="grid", grid=2, mirrored=True),
    "efficientnet-lite0": BranchSpec(backbone="efficientnet-lite0", pooling="average"),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_every_backbone_of_the_recipes_converts(name: str) -> None:
    spec = Preprocessing(height=48, width=40, mode="RGB", mean=(0.5,) * 3, std=(0.25,) * 3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = SiameseNetwork(
            NetworkSpec(branches=(BRANCHES[name],), comparator=ComparatorSpec(name="cosine")), spec
        ).eval()
    engine = engine_for({Side.LEFT: conversion.convert(made, Side.LEFT)}, threads=1)
    found = agreement.check(engine, Probe.of(made))
    assert found.worst >= 0.9999
    engine.close()


def test_finding_and_cutting_out_faces_converts(monkeypatch) -> None:
    few = functools.partial(dlib_face.LandmarkRegressor, cascades=2, trees=8, pixels=20)
    monkeypatch.setattr(dlib_face, "LandmarkRegressor", few)
    spec = Preprocessing(height=96, width=96, mode="RGB", mean=(0.46,) * 3, std=(1.0,) * 3)
    branch = BranchSpec(backbone="dlib-face", normalise=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = SiameseNetwork(
            NetworkSpec(branches=(branch,), comparator=ComparatorSpec(name="cosine")), spec
        ).eval()
    generator = torch.Generator().manual_seed(0)
    backbone = made.branches[0].backbone
    backbone.detector.layers[-1].bias.data.zero_()
    landmarks = backbone.landmarks
    landmarks.initial.copy_(torch.tensor([0.8, 0.6, 0.2, 0.4, 0.5, 0.3, 0.3, 0.3, 0.3, 0.7]))
    for cascade in landmarks.cascades:
        cascade.places.copy_(torch.rand(cascade.places.shape, generator=generator) / 4)
        cascade.pairs.copy_(torch.randint(0, 20, cascade.pairs.shape, generator=generator))
        cascade.leaves.copy_(torch.randn(cascade.leaves.shape, generator=generator) / 200)
    images = torch.randint(0, 256, (5, 96, 96, 3), generator=generator).to(torch.uint8)
    engine = engine_for({Side.LEFT: conversion.convert(made, Side.LEFT)})
    with torch.inference_mode():
        expected = made.features(images).numpy()
    found = engine.features(images.numpy(), Side.LEFT)
    engine.close()
    assert cosine(found, expected).min() > 0.99999
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-4)


def test_an_engine_that_cannot_compute_is_said_and_auto_takes_torch(
    tmp_path: Path, once: None, monkeypatch
) -> None:
    def fail(self, batch, side):
        raise RuntimeError("indices exceed data size")

    monkeypatch.setattr(OpenVinoEngine, "features", fail)
    checkpoint = saved(tmp_path, network())
    engine = make_engine(
        checkpoint, engine="auto", device="cpu", threads=1, cache=tmp_path / "converted"
    )
    assert engine.name == "torch"
    assert "cannot compute this network (indices exceed data size)" in engine.reason
    engine.close()


def test_each_side_has_its_own_branch() -> None:
    made = network(sides=2)
    engine = engine_for(in_openvino(branches=2))
    engine.warm_up(4)
    batch = prepare(pixels(0), made.preprocessing)[None]
    for side in Side:
        with torch.inference_mode():
            expected = made.features(torch.from_numpy(batch), side).numpy()
        np.testing.assert_allclose(engine.features(batch, side), expected, rtol=1e-4, atol=1e-5)
    engine.close()


@pytest.mark.parametrize(
    ("seconds", "streams", "alone", "batch"), [(0.0, 1, 0, None), (0.04, 2, 8, 4)]
)
def test_a_network_that_takes_next_to_no_time_is_content_with_one_stream_and_batches(
    monkeypatch: pytest.MonkeyPatch, seconds: float, streams: int, alone: int, batch: int | None
) -> None:
    def features(self, batch, side):
        time.sleep(seconds)
        return np.zeros((len(batch), 16), np.float32)

    monkeypatch.setattr(OpenVinoEngine, "features", features)
    engine = engine_for(in_openvino())
    assert engine.concurrency.own_streams == 2
    engine.warm_up(4)
    assert engine.concurrency.streams == 2
    assert engine.concurrency.own_streams == streams
    assert engine.concurrency.own_calls == 2 * streams
    assert engine.concurrency.alone == alone
    assert engine.concurrency.batch == batch
    engine.close()


def test_what_is_slow_depends_on_what_an_image_costs_beside_the_network() -> None:
    most = Concurrency(streams=2, calls=4, batch=4)
    on_a_slow_cpu = suited(most, 0.0024, beside=0.003)
    assert (on_a_slow_cpu.own_streams, on_a_slow_cpu.alone, on_a_slow_cpu.batch) == (1, 0, None)
    on_a_fast_one = suited(most, 0.0024, beside=0.0018)
    assert (on_a_fast_one.own_streams, on_a_fast_one.alone, on_a_fast_one.batch) == (2, 8, 4)


def test_what_an_image_costs_beside_the_network_is_found_once() -> None:
    found = beside_seconds()
    assert 1e-4 < found < 1
    assert beside_seconds() == found


def test_a_lone_image_is_computed_by_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_for(in_openvino())
    engine.warm_up(4)
    computed = openvino_cpu._computed
    streams: list[int] = []
    inside, go_on = threading.Event(), threading.Event()
    go_on.set()

    def watched(request: ov.InferRequest, piece: np.ndarray) -> np.ndarray:
        streams.append(request.get_compiled_model().get_property("NUM_STREAMS"))
        inside.set()
        assert go_on.wait(30)
        return computed(request, piece)

    monkeypatch.setattr(openvino_cpu, "_computed", watched)
    image = prepare(pixels(0), network().preprocessing)[None]
    lone = engine.features(image, Side.LEFT)
    inside.clear()
    go_on.clear()
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(engine.features, image, Side.LEFT)
        assert inside.wait(30)
        second = callers.submit(engine.features, image, Side.LEFT)
        while len(streams) < 3:
            time.sleep(0.01)
        go_on.set()
        both = np.concatenate([first.result(), second.result()])
    engine.features(np.repeat(image, 2, axis=0), Side.LEFT)
    assert streams == [1, 1, 2, 2, 2], "lone, lone, beside another, two in a call"
    assert cosine(both, np.repeat(lone, 2, axis=0)).min() >= 0.99999
    engine.close()


def test_a_wrong_engine_is_refused() -> None:
    engine, other = engine_for(in_openvino(), threads=1), network(seed=1)
    with pytest.raises(EngineDisagrees, match=r"cosine .* are wanted"):
        agreement.check(engine, Probe.of(other))
    engine.close()


@pytest.mark.usefixtures("once")
def test_the_engine_says_what_it_is_and_why(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path, network())
    options = {"device": "cpu", "threads": 1, "cache": tmp_path / "cache"}
    chosen = make_engine(checkpoint, engine="auto", **options)
    assert chosen.name == "openvino"
    assert chosen.precision in ("float32", "bfloat16")
    exact = make_engine(checkpoint, engine="openvino", precision="float32", **options)
    assert "this CPU" in chosen.reason
    assert (exact.precision, exact.reason) == ("float32", "precision set by PRECISION")
    plain = make_engine(checkpoint, engine="torch", **options)
    assert (plain.name, plain.reason) == ("torch", "set by ENGINE")
    with pytest.raises(InferenceError, match="set TWINLENS_PRECISION=auto"):
        make_engine(checkpoint, engine="torch", precision="bfloat16", **options)
    with pytest.raises(InferenceError, match="set TWINLENS_DEVICE=cpu"):
        make_engine(checkpoint, engine="openvino", **{**options, "device": "cuda:0"})
    for engine in (chosen, exact, plain):
        engine.close()


@pytest.mark.usefixtures("once")
def test_bfloat16_is_taken_where_it_is_worth_it(tmp_path: Path, monkeypatch) -> None:
    checkpoint = saved(tmp_path, network())
    options = {"engine": "auto", "device": "cpu", "threads": 1, "cache": tmp_path / "cache"}
    # The speeds of another CPU cannot be had here, so what counts as worth it is moved.
    for worth, expected in ((0.0, "bfloat16"), (1e9, "float32")):
        monkeypatch.setattr(cpu, "_WORTH_ROUNDING", worth)
        engine = make_engine(checkpoint, **options)
        if "no bfloat16" in engine.reason:
            pytest.skip("this CPU has no bfloat16")
        assert engine.precision == expected
        assert "times as fast" in engine.reason
        engine.close()
    # And never where it is not exact enough.
    monkeypatch.setattr(cpu, "_WORTH_ROUNDING", 0.0)
    monkeypatch.setitem(agreement.BOUNDS, "bfloat16", Bound(mean=1.1, worst=1.1, length=0))
    engine = make_engine(checkpoint, **options)
    assert engine.precision == "float32"
    assert "1.1" in engine.reason
    with pytest.raises(EngineDisagrees):
        make_engine(checkpoint, **{**options, "precision": "bfloat16"})
    engine.close()


@pytest.mark.usefixtures("once")
def test_what_bfloat16_cannot_compile_float32_runs(tmp_path: Path, monkeypatch) -> None:
    # A type that OpenVINO refuses for good stands in for a network that it refuses in bfloat16.
    monkeypatch.setitem(openvino_cpu._TYPES, "bfloat16", ov.Type.string)
    engine = make_engine(
        saved(tmp_path, network()), engine="auto", device="cpu", threads=1, cache=tmp_path / "cache"
    )
    if "no bfloat16" in engine.reason:
        pytest.skip("this CPU has no bfloat16")
    assert (engine.name, engine.precision) == ("openvino", "float32")
    assert "cannot compile" in engine.reason
    engine.close()


class Unconvertible(nn.Module):
    """Its output's shape depends on what is in the image."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[images > 0][:16].reshape(1, -1).expand(len(images), -1)


def test_what_cannot_be_converted_is_said_and_auto_takes_torch(tmp_path: Path) -> None:
    def checkpoint() -> Checkpoint:
        loaded = saved(tmp_path, network())
        branch = loaded.network.branches[0]
        branch.backbone, branch.pooling, branch.projection = (
            Unconvertible(),
            nn.Identity(),
            nn.Identity(),
        )
        return loaded

    options = {"device": "cpu", "threads": 1, "cache": tmp_path / "cache"}
    engine = make_engine(checkpoint(), engine="auto", **options)
    assert engine.name == "torch"
    assert "OpenVINO cannot run this network" in engine.reason
    engine.close()
    with pytest.raises(InferenceError, match="set TWINLENS_ENGINE=torch"):
        make_engine(checkpoint(), engine="openvino", **options)
    with pytest.raises(InferenceError, match="set TWINLENS_ENGINE=torch"):
        make_engine(checkpoint(), engine="auto", precision="bfloat16", **options)
