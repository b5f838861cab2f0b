"""What products of eight bits come to on this CPU, and on those that have less."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from app.inference.engines import converted
from app.inference.engines.conversion import ConversionFailed
from app.inference.engines.converted import ConvertedModels
from model_store.network import Side
from tests.app.inference.conversions import eight_bits, saved
from tests.app.material import network

_ADDS_UP = "from app.inference.engines.eight_bits import adds_up; print(adds_up())"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="these are x86's instructions")
@pytest.mark.parametrize("most", ["SSE41", "AVX2", "AVX512_CORE"])
def test_a_cpu_without_vnni_is_known_by_what_it_computes(most: str) -> None:
    # oneDNN, which OpenVINO computes with, then uses no instructions beyond these.
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": most}
    found = subprocess.run(
        [sys.executable, "-c", _ADDS_UP],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "False"


@pytest.mark.usefixtures("once")
def test_a_cpu_that_cannot_be_asked_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> bool:
        raise RuntimeError("no memory")

    monkeypatch.setattr(converted, "adds_up", fail)
    models = ConvertedModels(tmp_path / "cache")
    with pytest.raises(ConversionFailed, match=r"\(no memory\); set TWINLENS_PRECISION=auto"):
        models.put(saved(tmp_path, network()), Side.LEFT, "int8")


@eight_bits
@pytest.mark.usefixtures("once")
def test_neither_what_is_to_be_made_nor_what_is_there_is_for_such_a_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = saved(tmp_path, network())
    models = ConvertedModels(tmp_path / "cache")
    models.put(checkpoint, Side.LEFT, "int8")
    made = sorted((tmp_path / "cache").iterdir())
    monkeypatch.setattr(converted, "adds_up", lambda: False)
    for way in (models.get, models.put):
        with pytest.raises(ConversionFailed, match=r"no VNNI.*set TWINLENS_PRECISION=auto"):
            way(checkpoint, Side.LEFT, "int8")
    assert sorted((tmp_path / "cache").iterdir()) == made
    assert models.get(checkpoint, Side.LEFT) is not None
