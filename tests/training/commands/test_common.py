import argparse
import sys
from pathlib import Path

import pytest
import torch

from training.commands import common


def test_a_container_gets_no_more_threads_than_its_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    # A quota cannot be set here.
    monkeypatch.setattr(common, "available_cpus", lambda: 3)
    try:
        torch.set_num_threads(5)
        assert common.chosen_device(argparse.Namespace(device="cpu")).type == "cpu"
        assert torch.get_num_threads() == 3
        torch.set_num_threads(1)  # As torchrun has it.
        common.chosen_device(argparse.Namespace(device="cpu"))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_what_is_to_be_typed_runs_this_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my shop" / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("python", "torchrun"):
        (folder / name).touch(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.chdir(tmp_path)
    assert common.typed("torchrun") == "my shop/.venv/bin/torchrun"
    monkeypatch.chdir(folder.parents[1])
    assert common.typed("python") == ".venv/bin/python"
    monkeypatch.chdir(folder.parent)
    assert common.typed("python") == "bin/python"
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin")
    assert common.typed("python") == "python"
