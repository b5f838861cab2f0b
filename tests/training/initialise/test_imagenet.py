"""ImageNet weights: which are taken for a backbone, and that no file of them runs code."""

import pytest
import torch
from torchvision import models

from model_store.network import BranchSpec
from tests.training.initialise.test_files import RunsCode
from training.errors import TrainingError
from training.initialise.imagenet import imagenet_weights


def test_a_file_in_the_cache_that_would_run_code_runs_none(tmp_path, monkeypatch):
    folder, made = tmp_path / "hub" / "checkpoints", tmp_path / "made"
    folder.mkdir(parents=True)
    name = models.ResNet18_Weights.DEFAULT.url.rpartition("/")[2]
    torch.save({"conv1.weight": torch.zeros(1), "more": RunsCode(made)}, folder / name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(TrainingError, match="weights of resnet18 cannot be had"):
        imagenet_weights(BranchSpec(backbone="resnet18"))
    assert not made.exists()


@pytest.mark.parametrize(
    ("backbone", "options", "architecture"),
    [
        ("vgg16", {}, "vgg16"),
        ("vgg16", {"batch_norm": False}, "vgg16"),
        ("vgg16", {"batch_norm": True}, "vgg16_bn"),
        ("resnet34", {}, "resnet34"),
        ("torchvision", {"architecture": "mobilenet_v2"}, "mobilenet_v2"),
    ],
)
def test_each_backbone_gets_its_own_weights(monkeypatch, backbone, options, architecture):
    # Nothing can be downloaded here.
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", lambda url, **_: {"from": url})
    tensors, source = imagenet_weights(BranchSpec(backbone=backbone, options=options))
    weights = models.get_model_weights(architecture)["DEFAULT"]
    assert tensors == {"from": weights.url}
    assert source == f"ImageNet (torchvision {architecture} {weights.name})"
