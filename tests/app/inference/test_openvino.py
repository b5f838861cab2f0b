import functools
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch

from app.inference.engines import (
    agreement,
    beside,
    conversion,
    openvino_cpu,
    openvino_streams,
)
from app.inference.engines.agreement import EngineDisagrees
from app.inference.engines.base import Concurrency
from app.inference.engines.beside import ALL_TO_DECODING, decode_a_photo
from app.inference.engines.openvino_cpu import OpenVinoEngine, suited
from app.inference.engines.quantising import quantised
from model_store.network import BranchSpec, ComparatorSpec, NetworkSpec, Side
from model_store.network.backbones import dlib_face
from model_store.preprocessing import Preprocessing, prepare
from model_store.probe import Probe
from tests.app.inference.conversions import cosine, eight_bits, in_openvino
from tests.app.material import network, pixels
from tests.app.serving import wait_until
from tests.tiny import seeded


def engine_for(models: Mapping[Side, ov.Model], threads: int = 2, precision: str = "float32"):
    return OpenVinoEngine(models, precision=precision, threads=threads, reason="")


@pytest.mark.parametrize(
    "precision", ["float32", "bfloat16", pytest.param("int8", marks=eight_bits)]
)
def test_features_do_not_depend_on_batch_mates_and_are_the_networks(precision: str) -> None:
    made = network()
    batch = np.stack([prepare(pixels(seed), made.preprocessing) for seed in range(13)])
    models = in_openvino()
    if precision == "int8":
        models = {side: quantised(model, batch) for side, model in models.items()}
    engine = engine_for(models, precision=precision)
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
    made = seeded(
        NetworkSpec(branches=(BRANCHES[name],), comparator=ComparatorSpec(name="cosine")), spec
    )
    engine = engine_for({Side.LEFT: conversion.convert(made, Side.LEFT)}, threads=1)
    found = agreement.check(engine, Probe.of(made))
    assert found.worst >= 0.9999
    engine.close()


def test_finding_and_cutting_out_faces_converts(monkeypatch) -> None:
    few = functools.partial(dlib_face.LandmarkRegressor, cascades=2, trees=8, pixels=20)
    monkeypatch.setattr(dlib_face, "LandmarkRegressor", few)
    spec = Preprocessing(height=96, width=96, mode="RGB", mean=(0.46,) * 3, std=(1.0,) * 3)
    branch = BranchSpec(backbone="dlib-face", normalise=True)
    made = seeded(NetworkSpec(branches=(branch,), comparator=ComparatorSpec(name="cosine")), spec)
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


def test_that_no_folder_takes_temporary_files_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    # Where Python looks, too, there may be one.
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "absent")])
    with pytest.raises(conversion.ConversionFailed, match="TMPDIR"):
        conversion.convert(network(), Side.LEFT)


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
    ("seconds", "streams", "alone", "batch"), [(0.0, 1, 0, None), (0.2, 2, 8, 4)]
)
def test_a_network_that_takes_next_to_no_time_is_content_with_one_stream_and_batches(
    monkeypatch: pytest.MonkeyPatch, seconds: float, streams: int, alone: int, batch: int | None
) -> None:
    def features(self, batch, side):
        time.sleep(seconds)
        return np.zeros((len(batch), 16), np.float32)

    monkeypatch.setattr(OpenVinoEngine, "features", features)
    engine = engine_for(in_openvino())
    engine.warm_up(4)
    assert engine.concurrency.streams == 2
    assert engine.concurrency.few is None
    assert engine.concurrency.own_streams(1, lone=False) == streams
    assert engine.concurrency.own_calls(1, lone=False) == 2 * streams
    assert engine.concurrency.own_calls(1000, lone=True) == 2 * streams
    assert engine.concurrency.alone == alone
    assert engine.concurrency.batch == batch
    engine.close()


def test_what_is_slow_depends_on_what_an_image_costs_beside_the_network() -> None:
    most = Concurrency(streams=2, calls=4, batch=4)
    quick = replace(most, own=1, few=None, alone=0, batch=None)
    assert suited(most, 0.0024, beside=0.003) == quick
    # One core does 417 images a second beside one for all else; both shared, 361.
    apart = replace(most, own=1, few=16, alone=4)
    assert suited(most, 0.0024, beside=0.0018) == apart
    # 137 beside 156, and then 228 beside 266.
    shared = replace(most, own=2, few=None, alone=8)
    assert suited(most, 0.0073, beside=0.00315) == shared
    assert suited(most, 0.00438, beside=0.0018) == shared


@pytest.mark.parametrize(("seconds", "alone", "batch"), [(0.0004, 0, None), (0.0024, 4, 4)])
def test_on_one_core_quick_networks_get_large_batches_too(
    monkeypatch: pytest.MonkeyPatch, seconds: float, alone: int, batch: int | None
) -> None:
    engine = slow_for(seconds, monkeypatch, threads=1)
    assert engine.concurrency == Concurrency(1, 2, batch=batch, own=1, alone=alone)
    image = prepare(pixels(0), network().preprocessing)[None]
    lone = engine.features_for_one(image, Side.LEFT, 1)
    np.testing.assert_array_equal(lone, engine.features(image, Side.LEFT))
    engine.close()


def test_with_more_cores_as_many_are_the_networks_as_suits_both() -> None:
    most = Concurrency(streams=8, calls=16, batch=4)
    # Five cores do 1,000 images a second, and the other three 1,000.
    found = suited(most, 0.005, beside=0.003)
    assert found == replace(most, own=5, few=80, alone=20)
    # Nearly all is the network: seven of eight cores are less than eight shared.
    assert suited(most, 0.1, beside=0.001).own == 8
    assert suited(replace(most, streams=1, calls=2), 0.1, beside=0.001).own == 1


def test_what_an_image_costs_beside_the_network_is_told_from_decoding_in_turn_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded = 0

    def decode() -> None:
        nonlocal decoded
        decoded += 1
        time.sleep(0.1)

    monkeypatch.setattr(openvino_cpu, "decode_a_photo", decode)
    found: list[float] = []

    def told(most: Concurrency, seconds: float, beside: float) -> Concurrency:
        found.append(beside)
        return suited(most, seconds, beside)

    monkeypatch.setattr(openvino_cpu, "suited", told)
    engine = engine_for(in_openvino())
    engine.warm_up(4)
    engine.close()
    # Once to be warm, once to see how many turns there can be, and three turns.
    assert decoded == 5
    assert found == pytest.approx([ALL_TO_DECODING * 0.1], rel=0.5)


def test_a_photo_of_usual_size_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[np.ndarray] = []
    decode_prepared = beside.decode_prepared
    monkeypatch.setattr(
        beside, "decode_prepared", lambda *given: made.append(decode_prepared(*given))
    )
    decode_a_photo()
    decode_a_photo()
    assert [image.shape for image in made] == [(224, 224, 3)] * 2
    assert made[0].std() > 20


class Watch:
    """Which streams compute: the number of threads of each call's plan, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads: list[int] = []
        self.plans: list[int] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self._computed = openvino_streams.computed
        monkeypatch.setattr(openvino_streams, "computed", self._watched)

    def _watched(self, request: ov.InferRequest, piece: np.ndarray) -> np.ndarray:
        compiled = request.get_compiled_model()
        self.threads.append(compiled.get_property("INFERENCE_NUM_THREADS"))
        self.plans.append(compiled.get_property("NUM_STREAMS"))
        assert self.go_on.wait(30)
        return self._computed(request, piece)

    def reached(self, count: int) -> None:
        wait_until(lambda: len(self.threads) >= count)


def slow_for(seconds: float, monkeypatch: pytest.MonkeyPatch, threads: int = 2) -> OpenVinoEngine:
    """An engine whose network counts as one that takes so many seconds, beside 1.8 ms."""
    taken = [seconds * 4, 0.0018 / ALL_TO_DECODING]
    monkeypatch.setattr(openvino_cpu, "typical_seconds_within", lambda *_, **__: taken)
    engine = engine_for(in_openvino(), threads=threads)
    engine.warm_up(4)
    return engine


@pytest.mark.parametrize("seconds", [0.0004, 0.0024, 0.0073])
def test_a_lone_image_is_computed_by_all_threads(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    engine = slow_for(seconds, monkeypatch)
    watch = Watch(monkeypatch)
    image = prepare(pixels(0), network().preprocessing)[None]
    lone = engine.features_for_one(image, Side.RIGHT, 1)
    assert (watch.threads, watch.plans) == ([2], [1])
    one_of_two = engine.features_for_one(image, Side.LEFT, 2)
    in_company = engine.features(image, Side.LEFT)
    assert watch.threads[1:] == watch.plans[1:], "a thread a stream"
    assert cosine(np.concatenate([one_of_two, in_company]), lone).min() >= 0.99999
    watch.go_on.clear()
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(engine.features_for_one, image, Side.LEFT, 1)
        watch.reached(4)
        second = callers.submit(engine.features_for_one, image, Side.LEFT, 1)
        watch.reached(5)
        watch.go_on.set()
        both = np.concatenate([first.result(), second.result()])
    assert watch.plans[3] == 1
    assert watch.threads[3] == 2
    assert watch.threads[4] == watch.plans[4], "the plan for a lone image has one request"
    assert cosine(both, np.repeat(lone, 2, axis=0)).min() >= 0.99999
    engine.close()


def test_calls_go_to_the_first_streams_as_long_as_these_have_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = slow_for(0.0024, monkeypatch)
    assert engine.concurrency == Concurrency(2, 4, batch=4, own=1, few=16, alone=4)
    image = prepare(pixels(0), network().preprocessing)[None]
    given: list[int] = []
    go_on = threading.Event()

    def watched(streams, batch, side):
        given.append(engine._streams.index(streams))
        assert go_on.wait(30)
        return np.zeros((len(batch), 16), np.float32)

    monkeypatch.setattr(openvino_streams.Streams, "features", watched)

    def streams_of(call: Callable[[], object], count: int) -> list[int]:
        """Which streams so many calls at once are given, one after another."""
        given.clear()
        go_on.clear()
        with ThreadPoolExecutor(count) as callers:
            work = []
            for number in range(1, count + 1):
                work.append(callers.submit(call))
                wait_until(lambda most=number: len(given) >= most)
            go_on.set()
            for done in work:
                done.result()
        return given.copy()

    in_company = streams_of(lambda: engine.features(image, Side.LEFT), 5)
    assert in_company == [0, 0, 1, 1, 0], "and beyond that to those with the fewest"
    of_one = streams_of(lambda: engine.features_for_one(image, Side.LEFT, 2), 2)
    assert of_one == [0, 1], "of one caller side by side"
    engine.close()


def test_a_wrong_engine_is_refused() -> None:
    engine, other = engine_for(in_openvino(), threads=1), network(seed=1)
    with pytest.raises(EngineDisagrees, match=r"cosine .* are wanted"):
        agreement.check(engine, Probe.of(other))
    engine.close()
