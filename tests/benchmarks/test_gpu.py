import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import __main__ as module
from model_store import ModelStore
from tests.app.material import network

LEVEL = 2

# Prints how many have been told to go, once it is three, or it has waited long enough for them.
MEETING = """
import os, pathlib, sys, time
print("ready", flush=True)
sys.stdin.readline()
folder = pathlib.Path(sys.argv[1])
(folder / str(os.getpid())).touch()
end = time.monotonic() + 2
while (here := len(list(folder.iterdir()))) < 3 and time.monotonic() < end:
    time.sleep(0.01)
print(here)
"""


def test_processes_that_are_measured_together_go_together(tmp_path: Path) -> None:
    command = [sys.executable, "-S", "-c", MEETING, str(tmp_path)]
    assert module.at_once(command, 3) == ["3\n"] * 3


def test_the_service_is_asked_for_the_network_that_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_NETWORK", "resnet18-224")
    monkeypatch.setattr(module, "_CLIENTS", 1)
    monkeypatch.setenv("TWINLENS_ENGINE", "torch")
    monkeypatch.setenv("TWINLENS_DEVICE", "cpu")
    # Without a default model there is none to answer where two are loaded.
    ModelStore(tmp_path / "models").save("another", network())
    (row,) = module.serving(tmp_path, [1], [LEVEL], 1.0)
    assert row["processes"] == 1
    found = row["closed"][LEVEL]
    assert found["images_per_second"] == row["images_per_second"] > 0
    assert not found["failures"]
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert 0 < row["half"]["images_per_second"] < row["images_per_second"]


def test_no_answer_at_all_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NETWORK", "resnet18-224")
    monkeypatch.setenv("TWINLENS_ENGINE", "torch")
    monkeypatch.setenv("TWINLENS_DEVICE", "cpu")
    monkeypatch.setenv("TWINLENS_MAX_IMAGE_BYTES", "1024")
    with (
        module.service(tmp_path, 1) as port,
        pytest.raises(SystemExit, match=r"not one request was answered.*413"),
    ):
        module.loaded(port, 0.2, 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_without_a_device_there_is_nothing_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks.gpu"])
    with pytest.raises(SystemExit, match="no CUDA device"):
        module.main()
