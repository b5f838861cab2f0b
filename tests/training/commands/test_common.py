import argparse

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
