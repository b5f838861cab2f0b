"""Weights from elsewhere give what they gave there, and the report says what found a place."""

import pytest
import torch
from torch import nn
from torchvision import models

from model_store.network.backbones import BACKBONES
from training.errors import TrainingError
from training.initialise import fill


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def theirs_of(architecture: str) -> nn.Module:
    """torchvision's own network, weights drawn, classifier small."""
    torch.manual_seed(3)
    network = models.get_model(architecture, weights=None, num_classes=3).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return network


@pytest.fixture(autouse=True)
def random_state():
    with torch.random.fork_rng(devices=[]):
        yield


@pytest.mark.parametrize("architecture", ["resnet18", "resnet34", "resnet50"])
def test_resnets_of_torchvision(architecture):
    theirs = theirs_of(architecture)
    ours = BACKBONES[architecture](in_channels=3).eval()
    match = fill(ours, theirs.state_dict(), part="backbone", source="x")
    assert (match.missed, match.misshapen) == ((), ())
    assert match.left_over == ("fc.weight", "fc.bias")
    theirs.fc = nn.Identity()
    images = noise(2, 3, 48, 48)
    with torch.inference_mode():
        assert torch.equal(ours(images), theirs(images))


def vgg(batch_norm: bool) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(3)
    make = models.vgg16_bn if batch_norm else models.vgg16
    # The classifier alone has 120 million weights; what it looks like does not matter here.
    with torch.device("meta"):
        theirs = make(weights=None)
    features = theirs.features.to_empty(device="cpu")
    for parameter in features.parameters():
        nn.init.normal_(parameter, 0.03, 0.05)
    for module in features.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    return BACKBONES["vgg16"](in_channels=3, batch_norm=batch_norm).eval(), theirs.eval()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_vgg16_of_torchvision(batch_norm):
    ours, theirs = vgg(batch_norm)
    match = fill(ours, theirs.state_dict(), part="backbone", source="x")
    assert (match.missed, match.misshapen) == ((), ())
    assert all(name.startswith("classifier.") for name in match.left_over)
    images = noise(1, 3, 35, 35)
    with torch.inference_mode():
        assert torch.equal(ours(images), theirs.features(images))


def test_timm():
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("mobilenetv3_small_050", pretrained=False).eval()
    ours = BACKBONES["timm"](in_channels=3, architecture="mobilenetv3_small_050").eval()
    match = fill(ours, theirs.state_dict(), part="backbone", source="x")
    assert match.missed == ()
    assert match.left_over == ("classifier.weight", "classifier.bias")
    images = noise(1, 3, 64, 64)
    with torch.inference_mode():
        features = theirs.forward_head(theirs.forward_features(images), pre_logits=True)
        assert torch.equal(ours(images), features)


def test_one_channel_takes_the_sum_over_three():
    theirs = theirs_of("resnet18")
    theirs.fc = nn.Identity()
    ours = BACKBONES["resnet18"](in_channels=1).eval()
    match = fill(ours, theirs.state_dict(), part="backbone", source="x")
    assert match.summed == ("network.conv1.weight",)
    grey = noise(2, 1, 48, 48)
    with torch.inference_mode():
        colour = theirs(grey.expand(-1, 3, -1, -1))
        torch.testing.assert_close(ours(grey), colour, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("kind", "value"), [(torch.float8_e4m3fn, 1.5), (torch.float16, 3e4)])
def test_three_channels_are_summed_in_the_type_that_is_wanted(kind, value):
    ours = nn.Conv2d(1, 4, 3)
    tensors = {"weight": torch.full((4, 3, 3, 3), value).to(kind), "bias": torch.zeros(4)}
    assert fill(ours, tensors, part="backbone", source="x").summed == ("weight",)
    assert bool((ours.weight == 3 * float(tensors["weight"].flatten()[0])).all())


def test_three_channels_of_another_kind_than_weights_are_refused_as_what_they_are():
    tensors = {"weight": torch.ones(4, 3, 3, 3).to(torch.int8), "bias": torch.zeros(4)}
    with pytest.raises(TrainingError, match="weight of x is of the type int8"):
        fill(nn.Conv2d(1, 4, 3), tensors, part="backbone", source="x")


class TestValues:
    @pytest.mark.parametrize("kind", [torch.int8, torch.int64, torch.bool, torch.complex64])
    def test_those_of_another_kind_than_weights_are_refused(self, kind):
        tensors = _layers().state_dict()
        tensors["1.weight"] = torch.ones(4, 5).to(kind)
        with pytest.raises(TrainingError, match=r"^1\.weight of w\.pth is of the type .* give"):
            fill(_layers(), tensors, part="backbone", source="w.pth")

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
    def test_those_that_are_no_numbers_are_refused(self, value):
        tensors = _layers().state_dict()
        tensors["1.weight"] = tensors["1.weight"].double()
        tensors["1.weight"][2, 3] = value
        with pytest.raises(TrainingError, match=r"^1\.weight of w\.pth has values .* download it"):
            fill(_layers(), tensors, part="backbone", source="w.pth")
        # What nothing is made of does not matter.
        others = {**_layers().state_dict(), "2.mask": torch.tensor([value])}
        assert fill(_layers(), others, part="backbone", source="w.pth").left_over == ("2.mask",)

    @pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
    def test_other_floating_point_numbers_are_converted(self, kind):
        ours, tensors = _layers(), {n: t.to(kind) for n, t in _layers().state_dict().items()}
        fill(ours, tensors, part="backbone", source="w.pth")
        assert ours[0].weight.dtype == torch.float32
        assert torch.equal(ours[0].weight, tensors["0.weight"].float())


class TestNames:
    @pytest.mark.parametrize("prefix", ["", "module.", "model.backbone.", "branches.0.backbone."])
    def test_a_prefix_does_not_matter(self, prefix):
        ours, theirs = _layers(), _layers()
        tensors = {prefix + name: tensor for name, tensor in theirs.state_dict().items()}
        match = fill(ours, {**tensors, "other": noise(2)}, part="backbone", source="x")
        assert len(match.matched) == 4
        assert match.left_over == ("other",)
        for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(mine, its)

    def test_ours_may_have_one_that_theirs_lack(self):
        ours, theirs = nn.ModuleDict({"features": _layers()}), _layers()
        match = fill(ours, theirs.state_dict(), part="backbone", source="x")
        assert len(match.matched) == 4

    def test_of_two_prefixes_the_one_whose_shapes_agree_is_taken(self):
        ours, theirs = _layers(), _layers()
        fitting = {f"z.{name}": tensor for name, tensor in theirs.state_dict().items()}
        del fitting["z.1.bias"]
        others = {f"a.{name}": noise(2, 2) for name in theirs.state_dict()}
        match = fill(ours, others | fitting, part="backbone", source="x")
        assert match.matched == ("0.weight", "0.bias", "1.weight")
        assert match.missed == ("1.bias",)
        assert torch.equal(ours[1].weight, theirs[1].weight)

    def test_a_count_of_batches_that_older_files_lack_is_not_missed(self):
        ours, theirs = nn.BatchNorm1d(3), nn.BatchNorm1d(3).state_dict()
        del theirs["num_batches_tracked"]
        assert fill(ours, theirs, part="backbone", source="x").missed == ()
        del theirs["running_mean"]
        assert fill(ours, theirs, part="backbone", source="x").missed == ("running_mean",)

    def test_what_is_missed_and_misshapen_stays_as_drawn(self):
        ours, theirs = _layers(), _layers()
        before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
        tensors = theirs.state_dict()
        del tensors["0.bias"]
        tensors["1.weight"] = noise(7, 5)
        match = fill(ours, tensors, part="backbone", source="some file")
        assert match.matched == ("0.weight", "1.bias")
        assert match.missed == ("0.bias",)
        assert [(e.name, e.wanted, e.found) for e in match.misshapen] == [
            ("1.weight", (4, 5), (7, 5))
        ]
        assert torch.equal(ours[0].bias, before["0.bias"])
        assert torch.equal(ours[1].weight, before["1.weight"])
        told = "\n".join(match.lines())
        assert "2 of 4 tensors from some file" in told
        assert "0.bias" in told
        assert "7×5 there, 4×5 here" in told

    def test_nothing_matched_is_an_error_with_names_of_both(self):
        with pytest.raises(TrainingError, match=r"0\.weight.*stem\.kernel"):
            fill(_layers(), {"stem.kernel": noise(3)}, part="backbone", source="x")

    def test_shapes_that_all_differ_are_an_error(self):
        tensors = {name: noise(1, 1, 1) for name in _layers().state_dict()}
        with pytest.raises(TrainingError, match=r"not one tensor.*0\.weight 5×3.*0\.weight 1×1×1"):
            fill(_layers(), tensors, part="backbone", source="x")


def _layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 4))
