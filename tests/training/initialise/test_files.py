"""Weights from files, whatever state these are in."""

import io
import os
from pathlib import Path

import pytest
import torch

from training.errors import TrainingError
from training.initialise.files import read_tensors

WEIGHTS = {"a.weight": torch.ones(3, 4), "b": torch.zeros(2)}


def saved(*, as_zip: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(WEIGHTS, buffer, _use_new_zipfile_serialization=as_zip)
    return buffer.getvalue()


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize("key", [None, "state_dict", "model"])
def test_tensors_are_read_by_name(tmp_path, as_zip, key):
    path = tmp_path / "w.pth"
    torch.save(
        WEIGHTS if key is None else {"epoch": 3, key: WEIGHTS},
        path,
        _use_new_zipfile_serialization=as_zip,
    )
    found = read_tensors(path)
    assert found.keys() == WEIGHTS.keys()
    assert all(found[name].equal(WEIGHTS[name]) for name in WEIGHTS)


ITSELF: dict[str, object] = {}
ITSELF.update(model=ITSELF)


@pytest.mark.parametrize(
    "content",
    [
        # As PyTorch's ImageNet example has it.
        {"epoch": 1, "arch": "x", "state_dict": WEIGHTS, "best_acc1": torch.tensor(70.0)},
        {"state_dict": None, "model": {"net": WEIGHTS}},
        {"model": {"layers": 3}, "net": torch.ones(1), "network": WEIGHTS},
        {"model": {"layers": 3}, **WEIGHTS},
        {"model": ITSELF, **WEIGHTS},
        {"net": {"lr": torch.tensor(0.1)}, **WEIGHTS},
        {"model": {"lr": torch.tensor(0.1)}, "network": WEIGHTS},
        {"state_dict": WEIGHTS, **{name: torch.tensor(0.1) for name in ("epoch", "loss", "lr")}},
    ],
)
def test_what_stands_beside_the_weights_is_not_taken_for_them(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    assert read_tensors(tmp_path / "w.pth").keys() == WEIGHTS.keys()


@pytest.mark.parametrize("content", [{}, ITSELF, [WEIGHTS], {"model": {3: torch.ones(1)}}])
def test_a_file_without_tensors_by_name_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(TrainingError, match="no tensors by name"):
        read_tensors(tmp_path / "w.pth")


@pytest.mark.filterwarnings("ignore")  # PyTorch's, of what it is about to give up.
@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("sparse", torch.Tensor.to_sparse),
        ("sparse", torch.Tensor.to_sparse_csr),
        ("on the meta device", lambda tensor: tensor.to("meta")),
        ("quantised", lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)),
        ("nested", lambda tensor: torch.nested.nested_tensor([tensor[0], tensor[1, :2]])),
    ],
)
def test_tensors_whose_values_cannot_be_copied_are_refused_by_name(tmp_path, kind, made):
    torch.save({**WEIGHTS, "a.weight": made(WEIGHTS["a.weight"])}, tmp_path / "w.pth")
    with pytest.raises(TrainingError, match=rf"w\.pth .* its tensor a\.weight is {kind}"):
        read_tensors(tmp_path / "w.pth")


@pytest.mark.parametrize("as_zip", [True, False])
def test_wherever_a_file_is_cut_short_it_is_refused(tmp_path, as_zip):
    path, whole = tmp_path / "w.pth", saved(as_zip=as_zip)
    for length in range(0, len(whole), 11):
        path.write_bytes(whole[:length])
        with pytest.raises(TrainingError, match=r"w\.pth"):
            read_tensors(path)


@pytest.mark.parametrize("content", [b"\x80\x02.", b"<!DOCTYPE html>", b""])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_damaged_or_something_else_is_refused(tmp_path, content, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(
        TrainingError, match=rf"w\{suffix} (cannot be read as weights|is not a file)"
    ):
        read_tensors(path)


class RunsCode:
    """Makes a folder as it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = str(made)

    def __reduce__(self):
        return os.mkdir, (self.made,)


@pytest.mark.parametrize("as_zip", [True, False])
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path, as_zip):
    path, made = tmp_path / "w.pth", tmp_path / "made"
    content = {"state_dict": WEIGHTS, "more": RunsCode(made)}
    torch.save(content, path, _use_new_zipfile_serialization=as_zip)
    with pytest.raises(TrainingError, match=r"w\.pth is not a file of tensors alone"):
        read_tensors(path)
    assert not made.exists()
