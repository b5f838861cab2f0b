"""Which engine runs a network on the CPU, in what precision, and what is said of it."""

from pathlib import Path

import openvino as ov
import pytest
import torch
from torch import nn

from app.inference.engines import (
    agreement,
    conversion,
    cpu,
    gains,
    make_engine,
    openvino_streams,
)
from app.inference.engines.agreement import Bound, EngineDisagrees
from app.inference.engines.openvino_cpu import OpenVinoEngine
from app.inference.errors import InferenceError
from model_store import Checkpoint
from tests.app.inference.conversions import eight_bits, saved
from tests.app.material import network


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
    for precision in ("bfloat16", "int8"):
        with pytest.raises(
            InferenceError, match=f"{precision} is for .* set TWINLENS_PRECISION=au"
        ):
            make_engine(checkpoint, engine="torch", precision=precision, **options)
    with pytest.raises(InferenceError, match="int8 is for the CPU; on CUDA devices set"):
        make_engine(checkpoint, engine="auto", precision="int8", **{**options, "device": "cuda:0"})
    for name in ("auto", "openvino", "torch"):
        with pytest.raises(InferenceError, match="float16 is for CUDA devices; on the CPU set"):
            make_engine(checkpoint, engine=name, precision="float16", **options)
    with pytest.raises(InferenceError, match="set TWINLENS_DEVICE=cpu"):
        make_engine(checkpoint, engine="openvino", **{**options, "device": "cuda:0"})
    for engine in (chosen, exact, plain):
        engine.close()


@eight_bits
@pytest.mark.usefixtures("once")
def test_eight_bits_are_for_who_asks_for_them_and_have_to_be_right(
    tmp_path: Path, monkeypatch
) -> None:
    checkpoint = saved(tmp_path, network())
    options = {"device": "cpu", "threads": 1, "cache": tmp_path / "cache"}
    for name in ("auto", "openvino"):
        engine = make_engine(checkpoint, engine=name, precision="int8", **options)
        assert (engine.name, engine.precision) == ("openvino", "int8")
        assert engine.reason == "precision set by PRECISION"
        engine.close()
    monkeypatch.setitem(agreement.BOUNDS, "int8", Bound(mean=1.1, worst=1.1, length=0))
    with pytest.raises(
        EngineDisagrees, match=r"in int8 computes other features.*; set TWINLENS_PRECISION=auto$"
    ):
        make_engine(checkpoint, engine="auto", precision="int8", **options)


@eight_bits
def test_what_keeps_a_network_from_eight_bits_is_told_with_all_that_must_be_set(
    tmp_path: Path, monkeypatch
) -> None:
    def fail(*_: object) -> ov.Model:
        raise RuntimeError("unsupported operation")

    monkeypatch.setattr(conversion, "to_openvino", fail)
    checkpoint = saved(tmp_path, network())
    options = {"device": "cpu", "threads": 1, "cache": tmp_path / "cache"}
    for precision in ("bfloat16", "int8"):
        for name in ("auto", "openvino"):
            with pytest.raises(
                InferenceError,
                match=r"unsupported .*TWINLENS_ENGINE=torch.*TWINLENS_PRECISION=auto, too$",
            ):
                make_engine(checkpoint, engine=name, precision=precision, **options)
    # And what it says to set is what helps.
    make_engine(checkpoint, engine="torch", precision="auto", **options).close()
    make_engine(checkpoint, engine="auto", precision="auto", **options).close()


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
def test_a_start_goes_by_what_the_first_one_measured(tmp_path: Path, monkeypatch) -> None:
    checkpoint = saved(tmp_path, network())
    options = {"engine": "auto", "device": "cpu", "threads": 1, "cache": tmp_path / "cache"}
    monkeypatch.setattr(cpu, "best_seconds_within", lambda *_, **__: [0.001, 0.0022])
    first = make_engine(checkpoint, **options)
    first.close()
    if "no bfloat16" in first.reason:
        pytest.skip("this CPU has no bfloat16")
    assert (first.precision, first.reason) == (
        "bfloat16",
        "bfloat16 is 2.2 times as fast as float32 on this CPU",
    )
    # Another moment would decide otherwise.
    monkeypatch.setattr(cpu, "best_seconds_within", lambda *_, **__: [0.001, 0.0012])
    again = make_engine(checkpoint, **options)
    again.close()
    assert (again.precision, again.reason) == (first.precision, first.reason)
    # On another kind of CPU that shares the folder it is measured.
    gains._name.cache_clear()
    monkeypatch.setattr(gains, "_flags", lambda: ["avx512_of_another_cpu"])
    elsewhere = make_engine(checkpoint, **options)
    elsewhere.close()
    gains._name.cache_clear()
    assert (elsewhere.precision, elsewhere.reason) == (
        "float32",
        "float32, because bfloat16 is 1.2 times as fast on this CPU",
    )


def test_all_go_by_the_gain_that_was_kept_first(tmp_path: Path, caplog) -> None:
    assert gains.read_gain(tmp_path) is None
    assert gains.keep_gain(tmp_path, 2.2) == gains.read_gain(tmp_path) == 2.2
    assert gains.keep_gain(tmp_path, 1.2) == gains.read_gain(tmp_path) == 2.2
    (file,) = tmp_path.iterdir()
    file.write_text("")
    assert gains.read_gain(tmp_path) is None
    assert gains.keep_gain(tmp_path, 1.2) == gains.read_gain(tmp_path) == 1.2
    assert not caplog.text
    assert gains.keep_gain(tmp_path / "absent", 1.7) == 1.7
    assert "TWINLENS_PRECISION" in caplog.text


@pytest.mark.usefixtures("once")
def test_what_bfloat16_cannot_compile_float32_runs(tmp_path: Path, monkeypatch) -> None:
    # A type that OpenVINO refuses for good stands in for a network that it refuses in bfloat16.
    monkeypatch.setitem(openvino_streams._TYPES, "bfloat16", ov.Type.string)
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
