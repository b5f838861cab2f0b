"""`python -m app convert`, and a start that finds what it made."""

import logging
import math
import os

import pytest

from app.__main__ import main
from app.exits import EXIT_USAGE
from app.inference.engines import agreement, converted, cpu, make_engine
from app.inference.engines.agreement import Bound
from app.inference.engines.conversion import ConversionFailed
from app.inference.engines.eight_bits import adds_up
from model_store import ModelStore
from model_store.network import Side
from model_store.pictures import COUNT, drawn
from tests.app.inference.conversions import eight_bits, use_converted
from tests.app.material import network


@pytest.fixture
def store(tmp_path, monkeypatch) -> ModelStore:
    made = ModelStore(tmp_path / "store")
    made.save("one", network(seed=0))
    made.save("two", network(seed=1, sides=2))
    monkeypatch.setenv("TWINLENS_MODEL_STORE", str(made.root))
    monkeypatch.setenv("TWINLENS_ENGINE_CACHE", str(tmp_path / "converted"))
    use_converted(monkeypatch)
    return made


def test_what_is_converted_is_not_converted_again(store, tmp_path, monkeypatch, capsys, caplog):
    assert main(["convert"]) == 0
    told = capsys.readouterr().out
    assert "one: converted" in told
    assert "two: converted" in told
    # Each in both precisions; two of the three for the sides of one.
    assert len(list((tmp_path / "converted").iterdir())) == 6

    def again(*_: object) -> None:
        raise AssertionError("converted or measured again")

    def read_only(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(converted, "convert", again)
    monkeypatch.setattr(cpu, "_measured", again)
    monkeypatch.setattr(os, "utime", read_only)
    checkpoint = store.load("two")
    with caplog.at_level(logging.WARNING):
        engine = make_engine(
            checkpoint, engine="openvino", device="cpu", threads=1, cache=tmp_path / "converted"
        )
    images = drawn(checkpoint.manifest.preprocessing)
    assert engine.features(images, Side.RIGHT).shape == (COUNT, checkpoint.manifest.dimension)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    engine.close()


@eight_bits
def test_eight_bits_are_converted_where_they_are_asked_for(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TWINLENS_PRECISION", "int8")
    assert main(["convert"]) == 0
    assert "one: converted" in capsys.readouterr().out
    assert len(list((tmp_path / "converted").iterdir())) == 9


@eight_bits
def test_what_could_not_be_served_in_eight_bits_is_an_error(store, monkeypatch, capsys):
    monkeypatch.setenv("TWINLENS_PRECISION", "int8")
    monkeypatch.setitem(agreement.BOUNDS, "int8", Bound(mean=1.1, worst=1.1, length=0))
    assert main(["convert"]) == EXIT_USAGE
    told = capsys.readouterr()
    for name in ("one", "two"):
        assert f"error: {name}: openvino on cpu in int8 computes other features" in told.err
    assert "converted" not in told.out


@pytest.mark.parametrize(
    ("engine", "precision", "harmed", "told"),
    [
        ("auto", "bfloat16", "bfloat16", "in bfloat16 computes other features"),
        ("openvino", "float32", "float32", "in float32 computes other features"),
        ("openvino", "auto", "float32", "in float32 computes other features"),
        ("torch", "int8", None, "int8 is for TWINLENS_ENGINE=openvino"),
    ],
)
def test_what_the_service_would_refuse_as_it_is_set_is_an_error(
    store, monkeypatch, capsys, engine, precision, harmed, told
):
    if precision == "int8" and not adds_up():
        pytest.skip("this CPU has no dot products of eight bits (VNNI)")
    monkeypatch.setenv("TWINLENS_ENGINE", engine)
    monkeypatch.setenv("TWINLENS_PRECISION", precision)
    monkeypatch.setattr(cpu, "_WORTH_ROUNDING", math.inf)  # So that `auto` takes float32.
    if harmed is not None:
        monkeypatch.setitem(agreement.BOUNDS, harmed, Bound(mean=1.1, worst=1.1, length=0))
    assert main(["convert"]) == EXIT_USAGE
    said = capsys.readouterr()
    for name in ("one", "two"):
        assert f"error: {name}: " in said.err
    assert told in said.err
    assert "converted" not in said.out


def test_what_stays_with_pytorch_is_said_where_the_service_takes_that(store, monkeypatch, capsys):
    monkeypatch.setenv("TWINLENS_PRECISION", "float32")
    monkeypatch.setitem(agreement.BOUNDS, "float32", Bound(mean=1.1, worst=1.1, length=0))
    assert main(["convert"]) == 0
    assert capsys.readouterr().out.count("stays with PyTorch") == 2


def test_what_cannot_be_converted_is_said_and_passed_over(store, monkeypatch, capsys):
    def fail(made, side):
        raise ConversionFailed("OpenVINO cannot run this network")

    monkeypatch.setattr(converted, "convert", fail)
    assert main(["convert"]) == 0
    assert capsys.readouterr().out.count("stays with PyTorch") == 2


def test_a_folder_that_cannot_be_written_to_is_an_error(store, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TWINLENS_ENGINE_CACHE", str(tmp_path / "file" / "converted"))
    monkeypatch.setattr(converted, "convert", lambda *_: None)
    assert main(["convert"]) == 2
    assert "TWINLENS_ENGINE_CACHE" in capsys.readouterr().err


def test_a_damaged_model_is_said_and_the_others_are_converted(store, capsys):
    (store.find("one").path / "weights.safetensors").write_bytes(b"nothing")
    assert main(["convert"]) == 2
    told = capsys.readouterr()
    assert "two: converted" in told.out
    assert "error: one: " in told.err
    assert "weights.safetensors" in told.err


def test_an_empty_store_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TWINLENS_MODEL_STORE", str(tmp_path / "absent"))
    assert main(["convert"]) == 0
    assert "holds no model" in capsys.readouterr().out


def test_it_has_a_help_text_and_takes_no_arguments(store, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["convert", "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert told.startswith("usage: python -m app convert")
    assert "TWINLENS_ENGINE_CACHE" in told
    with pytest.raises(SystemExit) as ended:
        main(["convert", "glyphs"])
    assert ended.value.code == 2
    assert "unrecognized arguments: glyphs" in capsys.readouterr().err
    assert not (tmp_path / "converted").exists()


def test_a_command_that_is_none_is_said(capsys):
    assert main(["serve"]) == 2
    said = capsys.readouterr().err
    assert "no such command: serve" in said
    assert "python -m app convert" in said
