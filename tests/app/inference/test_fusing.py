import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from app.inference.engines.fusing import fused
from model_store.network import BranchSpec, ComparatorSpec, NetworkSpec, SiameseNetwork
from model_store.preprocessing import Preprocessing


def settled(network: nn.Module) -> nn.Module:
    """As after training: no statistics or scales that leave values as they are."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.3, generator=generator)
    return network.eval()


def kept(network: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(module, kind) for module in network.modules())


def assert_the_same(network: nn.Module, images: torch.Tensor) -> nn.Module:
    joined = fused(copy.deepcopy(network))
    with torch.inference_mode():
        wanted = network(images)
        spread = float(wanted.std())
        torch.testing.assert_close(joined(images), wanted, rtol=0, atol=1e-4 * spread)
    assert spread > 1e-3
    return joined


@pytest.mark.parametrize(
    ("backbone", "norms", "relus"),
    [
        # Those that stay have no ReLU behind them: the shortcuts', three of them in ResNet-18.
        ({"backbone": "resnet18"}, 3, 0),
        ({"backbone": "resnet50"}, 4, 0),
        ({"backbone": "vgg16", "pooling": "flatten"}, 0, 0),
        ({"backbone": "vgg16", "options": {"batch_norm": True}, "pooling": "flatten"}, 0, 0),
        ({"backbone": "residual", "pooling": "flatten"}, 3, 0),
    ],
)
def test_a_backbone_computes_the_same(backbone: dict[str, object], norms: int, relus: int) -> None:
    spec = NetworkSpec.model_validate(
        {"branches": [backbone], "comparator": ComparatorSpec(name="cosine")}
    )
    pixels = Preprocessing(height=64, width=64, mode="RGB", mean=(0.5,) * 3, std=(0.25,) * 3)
    torch.manual_seed(0)
    network = settled(SiameseNetwork(spec, pixels).branches[0].get_submodule("backbone"))
    joined = assert_the_same(network, torch.randn(2, 3, 64, 64))
    assert kept(joined, nn.BatchNorm2d) == norms
    assert kept(joined, nn.ReLU) == relus


def test_one_that_cannot_be_followed_is_left_alone() -> None:
    class Deciding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return functional.relu(self.conv(images)) if images.sum() > 0 else images

    network = Deciding().eval()
    assert fused(network) is network
    branch = BranchSpec(backbone="efficientnet-lite0", pooling="average")
    spec = NetworkSpec(branches=(branch,), comparator=ComparatorSpec(name="cosine"))
    pixels = Preprocessing(height=64, width=64, mode="RGB", mean=(0.5,) * 3, std=(0.25,) * 3)
    lite = SiameseNetwork(spec, pixels).eval().branches[0].get_submodule("backbone")
    # It has ReLU6, which cuDNN does not join.
    assert fused(lite) is lite


class Pieces(nn.Module):
    """Convolutions whose results are wanted more than once, or in another way."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Conv2d(4, 4, 3, padding=1)
        self.read_twice = nn.Conv2d(4, 4, 3, padding=1)
        self.circular = nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")
        self.named = nn.Conv2d(4, 4, 3, padding="same")
        self.summed = nn.Conv2d(4, 4, 3, padding=1)
        self.plain = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        values = functional.relu(self.twice(images))
        values = functional.relu(self.twice(values))
        raw = self.read_twice(values)
        values = functional.relu(raw) + raw
        values = functional.relu(self.circular(values)) + functional.relu(self.named(values))
        # In place, of what is read again: the sum must not be moved.
        other = self.norm(values)
        other += self.summed(values)
        out: torch.Tensor = functional.relu(other) + other
        return functional.relu(self.plain(out))


def test_what_is_read_elsewhere_stays() -> None:
    torch.manual_seed(0)
    network = settled(Pieces())
    joined = assert_the_same(network, torch.randn(2, 4, 8, 8))
    names = {name for name, module in joined.named_modules() if isinstance(module, nn.Conv2d)}
    assert {"twice", "read_twice", "circular", "named", "summed"} <= names
    assert "plain" not in names


def test_a_sum_that_changes_what_others_read_stays() -> None:
    class Shortcut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            kept = images * 2
            kept += self.conv(images)
            return torch.cat([functional.relu(kept), kept])

    torch.manual_seed(0)
    network = Shortcut().eval()
    assert_the_same(network, torch.randn(2, 4, 8, 8))
